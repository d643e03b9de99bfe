"""One streamed chat over plain HTTP: what any OpenAI client would send and read."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from nexus.errors import NexusError
from nexus.tasks import Clock

TIMEOUT_SECONDS: Final = 120.0
MAX_TOKENS: Final = 80


class ChatFailed(NexusError):
    """The question got no complete answer; the message says what came instead."""


class Answer(msgspec.Struct, frozen=True):
    """A complete answer.

    Attributes:
        text: what was said.
        backend: who said it (``X-Nexus-Backend``).
        reason: why that one was chosen (``X-Nexus-Route-Reason``).
        attempts: how many backends were tried (``X-Nexus-Attempts``).
        first_seconds: until the first word.
        seconds: until the last.
    """

    text: str
    backend: str
    reason: str
    attempts: int
    first_seconds: float
    seconds: float


def ask(
    address: tuple[str, int], model: str, question: str, *, said: Callable[[str], None], clock: Clock
) -> Answer:
    """Ask one question and stream its answer.

    Args:
        address: host and port of the gateway.
        model: the model's name.
        question: the user's message.
        said: called with each piece of text as it arrives.
        clock: measures.

    Raises:
        ChatFailed: no answer, an error, or an answer that does not end properly.
    """
    body = {
        "model": model,
        "stream": True,
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": question}],
    }
    began = clock.now()
    first = 0.0
    pieces: list[str] = []
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_SECONDS)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", msgspec.json.encode(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ChatFailed(f"HTTP {response.status}: {_message(response.read())}")
        for piece in _pieces(response):
            first = first or clock.now()
            pieces.append(piece)
            said(piece)
    except (OSError, http.client.HTTPException) as error:
        raise ChatFailed(f"the connection broke: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if not pieces:
        raise ChatFailed("the answer was empty")
    return Answer(
        text="".join(pieces),
        backend=response.headers.get("X-Nexus-Backend", ""),
        reason=response.headers.get("X-Nexus-Route-Reason", ""),
        attempts=int(response.headers.get("X-Nexus-Attempts", "1")),
        first_seconds=first - began,
        seconds=clock.now() - began,
    )


def _pieces(response: http.client.HTTPResponse) -> Iterator[str]:
    finished = False
    for line in response:
        if not line.startswith(b"data:"):
            continue
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            if finished:
                return
            break
        event: dict[str, Any] = msgspec.json.decode(data)
        if "error" in event:
            raise ChatFailed(_message(data))
        for choice in event.get("choices", ()):
            finished = finished or choice.get("finish_reason") is not None
            if text := choice.get("delta", {}).get("content"):
                yield text
    raise ChatFailed("the answer ended before it was finished")


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
