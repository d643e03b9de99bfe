"""The table of what Nexus serves: a new surface is one row."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.domain import BackendType


class BodyKind(StrEnum):
    """Which request body a surface takes, so where its prompt is."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RESPONSES = "responses"
    MESSAGES = "messages"


class StreamEnd(StrEnum):
    """What proves that an event stream was complete.

    ``CHAT``: a non-null ``finish_reason`` or ``[DONE]``. ``RESPONSES``:
    ``response.completed``, ``.incomplete``, ``.failed`` or an error event. ``MESSAGES``:
    ``message_stop`` or an error event. ``NONE``: the surface does not stream, only framing
    judges it.
    """

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    NONE = "none"


class Surface(msgspec.Struct, frozen=True):
    """One path that clients may post to.

    Attributes:
        name: stable, for metrics, logs and ``Backend.surfaces``.
        path: relative to a backend's API root, with the leading slash.
        body: the request's shape.
        end: the end rule of its stream.
        types: backend types that serve it natively; ``None`` for every type.
    """

    name: str
    path: str
    body: BodyKind
    end: StreamEnd
    types: frozenset[BackendType] | None = None


_COUNTING: Final = frozenset({BackendType.VLLM, BackendType.LLAMACPP, BackendType.SGLANG, BackendType.NEXUS})
_MESSAGES: Final = _COUNTING | {
    BackendType.OLLAMA,
    BackendType.LMSTUDIO,
    BackendType.EXO,
    BackendType.LOCALAI,
}
_RESPONSES: Final = _MESSAGES | {BackendType.OPENAI}

_ROWS: Final = (
    Surface("chat", "/chat/completions", BodyKind.CHAT, StreamEnd.CHAT),
    Surface("completions", "/completions", BodyKind.COMPLETION, StreamEnd.CHAT),
    Surface("embeddings", "/embeddings", BodyKind.EMBEDDING, StreamEnd.NONE),
    Surface("responses", "/responses", BodyKind.RESPONSES, StreamEnd.RESPONSES, _RESPONSES),
    Surface("messages", "/messages", BodyKind.MESSAGES, StreamEnd.MESSAGES, _MESSAGES),
    Surface("count_tokens", "/messages/count_tokens", BodyKind.MESSAGES, StreamEnd.NONE, _COUNTING),
)

SURFACES: Final[Mapping[str, Surface]] = MappingProxyType({row.name: row for row in _ROWS})


def surfaces_of(backend_type: BackendType) -> frozenset[str]:
    """Return the names of the surfaces that a backend type serves natively."""
    return frozenset(row.name for row in _ROWS if row.types is None or backend_type in row.types)
