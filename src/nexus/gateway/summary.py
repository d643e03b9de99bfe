"""An ended exchange as one frozen ``Outcome``."""

from __future__ import annotations

from typing import Final

from nexus.domain import FailureKind, Outcome
from nexus.gateway.exchange import Exchange

CLIENT_CLOSED_STATUS: Final = 499
_CLIENT_GONE: Final = frozenset({FailureKind.CLIENT_CLOSED, FailureKind.CLIENT_STALLED})
_TRACEPARENT: Final = b"traceparent"


def outcome(exchange: Exchange, now: float) -> Outcome:
    """Sum ``exchange`` up at ``now`` (monotonic seconds)."""
    decision, trail, fields = exchange.decision, exchange.trail, exchange.request.fields
    seconds = now - exchange.started
    if decision is None or exchange.cause is not None:
        return _cut_short(exchange, seconds)
    backend, pace = decision.candidate.backend, trail.pace
    # By position: matching this many names costs more than all the rest of making the value.
    # fmt: off
    return Outcome(
        exchange.request_id, exchange.surface.name, exchange.model, decision.model, backend.spec.name,
        backend.type, exchange.status, exchange.error, exchange.streamed, tuple(exchange.attempts),
        decision.reason, decision.fallback, exchange.usage, exchange.wall, exchange.first_byte, seconds,
        exchange.bytes_out, exchange.cause is not None, exchange.started, decision.plan.steps[0].model,
        trail.deltas, trail.decision_seconds, trail.overhead(), None if pace is None else pace.gaps(),
        trail.rejected_by(), fields[_TRACEPARENT].decode("latin-1") if _TRACEPARENT in fields else "",
    )
    # fmt: on


def _cut_short(exchange: Exchange, seconds: float) -> Outcome:
    """Sum up a request that nobody was asked to serve, or that was cut."""
    cause, decision, trail = exchange.cause, exchange.decision, exchange.trail
    gone = cause is not None and cause in _CLIENT_GONE
    backend = decision.candidate.backend if decision is not None else None
    return Outcome(
        request_id=exchange.request_id,
        surface=exchange.surface.name,
        model=exchange.model,
        served_model=decision.model if decision is not None else "",
        backend=backend.spec.name if backend is not None else "",
        backend_type=backend.type if backend is not None else "",
        status=exchange.status or (CLIENT_CLOSED_STATUS if gone else 0),
        error=exchange.error or (str(cause) if cause is not None else ""),
        streamed=exchange.streamed,
        attempts=tuple(exchange.attempts),
        route_reason=decision.reason if decision is not None else None,
        fallback=decision is not None and decision.fallback,
        usage=exchange.usage,
        started_at=exchange.wall,
        first_byte_seconds=exchange.first_byte,
        seconds=seconds,
        bytes_out=exchange.bytes_out,
        client_closed=gone,
        began=exchange.started,
        resolved_model=trail.resolved_model(),
        delta_events=trail.deltas,
        decision_seconds=trail.decision_seconds,
        overhead_seconds=trail.overhead(),
        gaps=None if trail.pace is None else trail.pace.gaps(),
        rejected_by=trail.rejected_by(),
        traceparent=exchange.request.fields.get(_TRACEPARENT, b"").decode("latin-1"),
    )
