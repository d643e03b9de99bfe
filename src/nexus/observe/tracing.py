"""The identity of one request in a distributed trace (W3C Trace Context), without any tracing package.

Ids are drawn up front, so that the span of an attempt is the parent of what its backend traces; the
spans themselves are made when the request has ended.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from nexus.domain import Outcome

SAMPLED: Final = 1
# Level 2 of the standard: the trace id was drawn at random.
_RANDOM: Final = 2
TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may have more behind a dash.
_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_OWN: Final = frozenset({TRACEPARENT})
_BOTH: Final = frozenset({TRACEPARENT, TRACESTATE})


class Parent(msgspec.Struct, frozen=True):
    """What a client's ``traceparent`` says."""

    trace_id: int
    span_id: int
    flags: int


def read_traceparent(value: bytes | None) -> Parent | None:
    """Return what the header says; ``None`` for one that is absent or malformed."""
    found = _FORM.fullmatch(value) if value is not None else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    parent = Parent(int(found[2], 16), int(found[3], 16), int(found[4], 16))
    return parent if parent.trace_id and parent.span_id else None


class Trace:
    """One request.

    Args:
        rng: draws ids.
        fields: the request's headers by lower-case name.

    Attributes:
        parent: the client's span, or ``None``.
        state: the client's ``tracestate``, unless its ``traceparent`` is malformed.
        trace_id, span_id: of the request.
        sampled: whether spans are made of it.
        replaced: headers of the client that do not go upstream as they came.
        attempts: the span ids of its attempts, in their order.
    """

    __slots__ = ("_rng", "attempts", "parent", "replaced", "sampled", "span_id", "state", "trace_id")

    def __init__(self, rng: random.Random, fields: Mapping[bytes, bytes]) -> None:
        self._rng = rng
        self.parent = parent = read_traceparent(fields.get(TRACEPARENT))
        self.state = fields.get(TRACESTATE, b"") if parent is not None else b""
        self.replaced = _OWN if parent is not None else _BOTH
        self.trace_id = parent.trace_id if parent is not None else self._draw(128)
        self.span_id = self._draw(64)
        self.sampled = False
        self.attempts: list[int] = []

    def attempt(self) -> bytes:
        """Begin an attempt and return its ``traceparent``."""
        span_id = self._draw(64)
        self.attempts.append(span_id)
        random_id = self.parent.flags & _RANDOM if self.parent is not None else 0
        flags = random_id | (SAMPLED if self.sampled else 0)
        return b"00-%032x-%016x-%02x" % (self.trace_id, span_id, flags)

    def _draw(self, bits: int) -> int:
        # Zero means none.
        return self._rng.getrandbits(bits) or 1


class Asked(msgspec.Struct, frozen=True):
    """Whom one attempt asked.

    Attributes:
        type: of the backend.
        host, port: where it is.
    """

    type: str
    host: str
    port: int


class Tracer(Protocol):
    """Makes spans of requests."""

    def begin(self, fields: Mapping[bytes, bytes]) -> Trace:
        """Give a request its identity, and decide whether it is traced."""
        ...

    def ended(self, outcome: Outcome, trace: Trace, asked: Sequence[Asked]) -> None:
        """Make the spans of a request that has ended."""
        ...

    def begin_close(self) -> None:
        """Export what is left, in a thread of its own."""
        ...

    @property
    def closed(self) -> bool:
        """Whether nothing is left."""
        ...
