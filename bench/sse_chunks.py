"""The stream that the upstream sends and the load expects: known to the byte."""

from __future__ import annotations

import json
import zlib
from typing import Final

from bench.configs import MODEL

_DONE: Final = b"data: [DONE]\n\n"


def event(number: int) -> bytes:
    """Return one chunk of a chat completion, of one length whatever its number, as a server sends it."""
    return _event({"content": f" word{number % 10000:04d}"}, None)


def events(chunks: int) -> list[bytes]:
    """Return a whole stream: ``chunks`` events with content, then the finish and ``[DONE]`` as one piece."""
    return [event(number) for number in range(chunks)] + [_event({}, "stop") + _DONE]


def fingerprint(chunks: int) -> tuple[int, int]:
    """Return the length and the CRC-32 of a whole stream."""
    data = b"".join(events(chunks))
    return len(data), zlib.crc32(data)


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1795417906,
        "model": MODEL,
        "choices": [choice],
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
