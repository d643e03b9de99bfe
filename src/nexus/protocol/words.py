"""What people and models said: the text inside request and reply bodies, for whoever may read it.

Tolerant: a body of a shape nobody knows gives itself, one that is no JSON too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode: Final = msgspec.json.Decoder().decode


def asked(body: bytes) -> str:
    """Return what a request says: one line a message, ``role: text``."""
    value = _read(body)
    if not isinstance(value, dict):
        return _as_it_is(body)
    lines = [_text(value[name]) for name in ("system", "instructions", "prompt", "input") if name in value]
    messages = value.get("messages")
    if isinstance(messages, list):
        lines += [_message(message) for message in messages]
    return "\n".join(lines) if lines else _as_it_is(body)


def answered(body: bytes) -> str:
    """Return what a complete JSON reply says."""
    value = _read(body)
    said = "\n".join(_answers(value)) if isinstance(value, dict) else ""
    return said or _as_it_is(body)


def streamed(events: bytes) -> str:
    """Return what whole events of a stream add to its text."""
    words: list[str] = []
    for line in events.splitlines():
        if line.startswith(b"data:") and isinstance(event := _read(line[5:]), dict):
            words += _added(event)
    return "".join(words)


def _read(body: bytes) -> Any:  # noqa: ANN401  # any JSON
    try:
        return _decode(body)
    except _UNREADABLE:
        return None


def _as_it_is(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _message(message: Any) -> str:  # noqa: ANN401  # any JSON
    if not isinstance(message, dict):
        return _text(message)
    return f"{message.get('role', '?')}: {_text(message.get('content'))}"


def _text(value: Any) -> str:  # noqa: ANN401  # any JSON
    """Return text parts as they are and the type of others: pictures are no text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, dict):
        if "role" in value:
            return _message(value)
        text = value.get("text", value.get("content"))
        return _text(text) if text is not None else f"[{value.get('type', 'object')}]"
    return str(value)


def _answers(value: dict[str, Any]) -> Iterator[str]:
    for choice in _dicts(value.get("choices")):
        message = choice.get("message")
        yield _text(message.get("content") if isinstance(message, dict) else choice.get("text"))
    for name in ("output", "content"):
        for part in _dicts(value.get(name)):
            yield _text(part.get("content", part))


def _added(event: dict[str, Any]) -> Iterator[str]:
    for choice in _dicts(event.get("choices")):
        delta = choice.get("delta")
        yield _text(delta.get("content") if isinstance(delta, dict) else choice.get("text"))
    delta = event.get("delta")
    if isinstance(delta, dict):
        delta = delta.get("text")
    if isinstance(delta, str):
        yield delta


def _dicts(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # any JSON
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
