"""Errors: Nexus's own to bytes, and every backend's shape to one value."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from nexus.domain import Usage
from nexus.errors import RequestError
from nexus.protocol.error_text import ErrorText
from nexus.protocol.quote import quote
from nexus.protocol.stream_events import is_error
from nexus.protocol.surfaces import StreamEnd
from nexus.protocol.usage import plain_usage, usage_of

__all__ = ["ErrorText", "error_event", "fault_of", "parse", "parse_event", "quote", "read_body", "render"]

_ANTHROPIC: Final = frozenset({"messages", "count_tokens"})
_ANY: Final = msgspec.json.Decoder()
_TITLE: Final = re.compile(r"<title[^>]{0,100}>([^<]{1,200})", re.IGNORECASE)
_MOST_TEXT: Final = 10_000
_MESSAGE_NAMES: Final = ("message", "msg", "error", "detail", "error_description", "title", "reason")


def render(error: RequestError, surface_name: str | None = None) -> bytes:
    """Return an error as the JSON body that clients of a surface read.

    Args:
        error: what ends the request.
        surface_name: on ``messages`` and ``count_tokens`` the body also says ``"type": "error"``
            (https://docs.anthropic.com/en/api/errors).
    """
    inner: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    if error.context is not None:
        inner["context"] = dict(error.context)
    if surface_name in _ANTHROPIC:
        return _encode({"type": "error", "error": inner})
    return _encode({"error": inner})


def error_event(code: str, message: str, end: StreamEnd) -> bytes:
    """Return the event that ends a broken stream, in the words that its clients know.

    Args:
        code: such as ``"upstream_closed"``.
        message: for the client.
        end: the kind of stream.
    """
    if end is StreamEnd.MESSAGES:
        inner = {"type": "api_error", "message": message, "code": code}
        return b"event: error\ndata: " + _encode({"type": "error", "error": inner}) + b"\n\n"
    inner_openai = {"message": message, "type": "server_error", "param": None, "code": code}
    if end is StreamEnd.RESPONSES:
        event = {"type": "error", "code": code, "message": message, "param": None, "error": inner_openai}
        return b"event: error\ndata: " + _encode(event) + b"\n\n"
    return b"data: " + _encode({"error": inner_openai}) + b"\n\n"


def parse(body: bytes) -> ErrorText | None:
    """Read a backend's error body; ``None`` when it says nothing.

    Known shapes: OpenAI's nested one (vLLM and llama.cpp with a number as ``code``), SGLang's flat
    one, ``{"error": "text"}`` (Ollama's native API, LM Studio, TGI with ``error_type``), FastAPI's
    ``detail`` as text or list, Gemini's inside an array, Anthropic's, a bare JSON string, HTML and
    plain text.
    """
    stripped = body.strip()
    if not stripped:
        return None
    try:
        value = _ANY.decode(stripped)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _plain(stripped)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return ErrorText(value) if value.strip() else None
    if not isinstance(value, dict) or not value:
        return None
    return _from_object(value)


def parse_event(payload: bytes) -> ErrorText:
    """Read the payload of an error event; there is always something to say."""
    return parse(payload) or ErrorText("the backend sent an error event without a message")


def fault_of(body: bytes) -> ErrorText | None:
    """Tell what is wrong with the whole body of a successful reply; ``None`` for nothing.

    A 200 with an empty body or an ``error`` in it (LM Studio answers so to unknown paths) is a
    failed attempt. Text that is not JSON is the client's matter.
    """
    if not body.strip():
        return ErrorText("the backend's reply is empty")
    # find(): ``in`` looks for a number first and pays for an exception.
    if body.find(b"error") < 0:
        return None
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return parse_event(body) if is_error(value) else None


def read_body(body: bytes) -> tuple[ErrorText | None, Usage | None]:
    """Read the whole body of a successful reply that was not streamed.

    Returns:
        What is wrong with it, as :func:`fault_of` says, and the tokens that it counts.
    """
    usage = plain_usage(body)
    if usage is not None:
        return None, usage
    fault = fault_of(body)
    return fault, usage_of(body) if fault is None else None


def _from_object(value: dict[str, Any]) -> ErrorText | None:
    inner = value.get("error")
    if isinstance(inner, dict) and inner:
        return ErrorText(
            _message_of(inner),
            _text(inner.get("type")) or _text(inner.get("status")),
            _code(inner.get("code")),
            _optional(inner.get("param")),
        )
    detail = value.get("detail")
    if isinstance(detail, dict) and detail:
        return _from_object(detail)
    if isinstance(detail, list) and detail:
        return ErrorText("; ".join(_validation(item) for item in detail[:8]))
    return ErrorText(
        _message_of(value),
        _text(value.get("error_type")) or _text(value.get("type")),
        _code(value.get("code")),
        _optional(value.get("param")),
    )


def _validation(item: object) -> str:
    """Return one entry of FastAPI's list: where, and what."""
    if not isinstance(item, dict):
        return _shown(item)
    where = item.get("loc")
    place = ".".join(str(part) for part in where[:16]) if isinstance(where, list) else ""
    message = _message_of(item)
    return f"{place}: {message}" if place else message


def _message_of(value: dict[str, Any]) -> str:
    for name in _MESSAGE_NAMES:
        message = value.get(name)
        if isinstance(message, str) and message.strip():
            return message
    return _shown(value)


def _shown(value: object) -> str:
    return _encode(value).decode()[:_MOST_TEXT]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _optional(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _code(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:100] or None


def _plain(body: bytes) -> ErrorText:
    text = body[:_MOST_TEXT].decode("utf-8", "replace")
    if text.startswith("<"):
        title = _TITLE.search(text)
        return ErrorText(title.group(1).strip() if title is not None else "an HTML page")
    return ErrorText(text)


def _encode(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Text from outside JSON may hold lone surrogates, which only escapes can carry.
        return json.dumps(value).encode()
