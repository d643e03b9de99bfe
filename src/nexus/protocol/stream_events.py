"""What one event of a reply's stream says, for each kind of stream.

Payloads are decoded, not searched: text inside a string can look like anything. msgspec skips
what is not named here, so this costs less than a search that could not be fooled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus.domain import Usage
from nexus.protocol.surfaces import StreamEnd
from nexus.protocol.usage import read_usage


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What one data event says.

    Attributes:
        finished: it satisfies the stream's end rule.
        error: it is an error.
        delta: it carries content.
        usage: the counts in it.
    """

    finished: bool = False
    error: bool = False
    delta: bool = False
    usage: Usage | None = None


NOTHING: Final = Finding()
CONTENT: Final = Finding(delta=True)
"""Nearly every event is one of these two, so they are made once."""


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    function_call: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None
    delta: _Delta | None = None
    text: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None


class _Inner(msgspec.Struct, gc=False):
    """``response`` of a Responses event, ``message`` of a Messages one."""

    usage: Any = None


class _TypedDelta(msgspec.Struct, gc=False):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None


class _Typed(msgspec.Struct, gc=False):
    """An event that names its own type: Responses and Messages."""

    type: Any = None
    response: _Inner | None = None
    message: _Inner | str | None = None
    usage: Any = None
    delta: _TypedDelta | str | None = None
    error: Any = None
    object: Any = None


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_TYPED: Final = msgspec.json.Decoder(_Typed)
_ANY: Final = msgspec.json.Decoder()
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_RESPONSES_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _judge_chunk(payload: bytes) -> Finding:
    try:
        chunk = _CHUNK.decode(payload)
    except msgspec.ValidationError:
        return _judge_odd(payload)
    except _UNREADABLE:
        return NOTHING
    finished = delta = False
    choices = chunk.choices
    if choices:
        for choice in choices:
            if choice.finish_reason and isinstance(choice.finish_reason, str):
                finished = True
            if choice.text or (choice.delta is not None and _has_content(choice.delta)):
                delta = True
    error = bool(chunk.error) or chunk.object == "error"
    if chunk.usage is None and not finished and not error:
        return CONTENT if delta else NOTHING
    return Finding(finished, error, delta, read_usage(chunk.usage))


def _has_content(delta: _Delta) -> bool:
    return bool(
        delta.content
        or delta.tool_calls
        or delta.reasoning_content
        or delta.reasoning
        or delta.function_call
        or delta.refusal
    )


def _judge_responses(payload: bytes) -> Finding:
    try:
        event = _TYPED.decode(payload)
    except msgspec.ValidationError:
        return _judge_odd(payload)
    except _UNREADABLE:
        return NOTHING
    kind = event.type if isinstance(event.type, str) else ""
    if kind.endswith(".delta") and not event.error:
        return CONTENT if event.delta else NOTHING
    error = kind in ("error", "response.failed") or bool(event.error) or event.object == "error"
    usage = None if event.response is None else read_usage(event.response.usage)
    return Finding(finished=error or kind in _RESPONSES_ENDS, error=error, usage=usage)


def _judge_messages(payload: bytes) -> Finding:
    try:
        event = _TYPED.decode(payload)
    except msgspec.ValidationError:
        return _judge_odd(payload)
    except _UNREADABLE:
        return NOTHING
    kind = event.type
    if kind == "content_block_delta" and not event.error:
        delta = event.delta
        if isinstance(delta, _TypedDelta) and (delta.text or delta.thinking or delta.partial_json):
            return CONTENT
        return NOTHING
    error = kind == "error" or bool(event.error) or event.object == "error"
    counts = event.message.usage if isinstance(event.message, _Inner) else event.usage
    return Finding(finished=error or kind == "message_stop", error=error, usage=read_usage(counts))


def _judge_odd(payload: bytes) -> Finding:
    """Judge valid JSON of a shape nobody documents: only errors can be told."""
    try:
        value = _ANY.decode(payload)
    except _UNREADABLE:
        return NOTHING
    return Finding(error=is_error(value))


def is_error(value: object) -> bool:
    """Tell whether a decoded JSON value is an error reply.

    It is one when it has a non-empty ``error``, says so in ``object`` (SGLang) or ``type``
    (Anthropic), or is an array whose first item is one (Gemini).
    """
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict) and is_error(value[0])
    if not isinstance(value, dict):
        return False
    return bool(value.get("error")) or value.get("object") == "error" or value.get("type") == "error"


JUDGES: Final[Mapping[StreamEnd, Callable[[bytes], Finding]]] = MappingProxyType(
    {
        StreamEnd.CHAT: _judge_chunk,
        StreamEnd.RESPONSES: _judge_responses,
        StreamEnd.MESSAGES: _judge_messages,
        StreamEnd.NONE: _judge_chunk,
    }
)
