"""How requests are shown to those who administer: frozen, JSON-able, without any message content."""

from __future__ import annotations

from typing import Any

import msgspec

from nexus.domain import Attempt, Explanation, Outcome, Requirements
from nexus.gateway.exchange import Exchange
from nexus.gateway.trail import Trail
from nexus.observe.history import Kept
from nexus.routing import explain

NAME_SHOWN = 256
"""Clients choose names of models: of longer ones the beginning is shown."""


class Running(msgspec.Struct, frozen=True):
    """One request that is running.

    Attributes:
        id: ``X-Nexus-Request-Id``.
        surface, model: what was asked.
        backend: who is asked now, or empty.
        started_at: Unix seconds.
        elapsed_seconds: since then.
        streamed: whether an event stream is being relayed.
        tokens: events with content so far.
        attempts: how many were begun.
        state: ``deciding``, ``waiting`` for a first byte, or ``answering``.
        client: the peer's address.
    """

    id: str
    surface: str
    model: str
    backend: str
    started_at: float
    elapsed_seconds: float
    streamed: bool
    tokens: int
    attempts: int
    state: str
    client: str


class Summary(msgspec.Struct, frozen=True):
    """One request that ended, in a line; ``estimated`` says that tokens were counted by events."""

    seq: int
    id: str
    surface: str
    model: str
    served_model: str
    backend: str
    backend_type: str
    status: int
    error: str
    streamed: bool
    attempts: int
    reason: str | None
    fallback: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated: bool
    started_at: float
    first_byte_seconds: float | None
    seconds: float
    overhead_seconds: float | None
    client_closed: bool


class Try(msgspec.Struct, frozen=True):
    """One attempt; ``after_seconds`` is when it began, from the request on."""

    backend: str
    model: str
    failure: str | None
    status: int | None
    message: str
    sent: bool
    after_seconds: float
    first_byte_seconds: float | None
    seconds: float
    retry_after: float | None


def running(exchange: Exchange, now: float) -> Running:
    """Return how a running request may be shown at ``now`` (monotonic seconds)."""
    decision = exchange.decision
    answering = exchange.reply.started
    return Running(
        id=exchange.request_id,
        surface=exchange.surface.name,
        model=exchange.model[:NAME_SHOWN],
        backend=decision.candidate.backend.spec.name if decision is not None else "",
        started_at=exchange.wall,
        elapsed_seconds=now - exchange.started,
        streamed=exchange.streamed,
        tokens=exchange.trail.deltas,
        attempts=len(exchange.trail.decisions),
        state="answering" if answering else "waiting" if decision is not None else "deciding",
        client=exchange.request.peer or "",
    )


def summary(kept: Kept[Trail]) -> Summary:
    """Return how an ended request may be shown in a line."""
    outcome = kept.outcome
    usage = outcome.usage
    counted = usage.completion_tokens if usage is not None else None
    estimated = counted is None and outcome.delta_events > 0
    return Summary(
        seq=kept.seq,
        id=outcome.request_id,
        surface=outcome.surface,
        model=outcome.model[:NAME_SHOWN],
        served_model=outcome.served_model,
        backend=outcome.backend,
        backend_type=str(outcome.backend_type),
        status=outcome.status,
        error=outcome.error or _relayed_failure(outcome),
        streamed=outcome.streamed,
        attempts=len(outcome.attempts),
        reason=None if outcome.route_reason is None else outcome.route_reason.value,
        fallback=outcome.fallback,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
        completion_tokens=outcome.delta_events if estimated else counted,
        estimated=estimated,
        started_at=outcome.started_at,
        first_byte_seconds=outcome.first_byte_seconds,
        seconds=outcome.seconds,
        overhead_seconds=outcome.overhead_seconds,
        client_closed=outcome.client_closed,
    )


def detail(kept: Kept[Trail]) -> dict[str, Any]:
    """Return all that is known of an ended request."""
    outcome, trail = kept.outcome, kept.trail
    shown: dict[str, Any] = msgspec.to_builtins(summary(kept))
    return shown | {
        "running": False,
        **_reasons(trail),
        "tries": [msgspec.to_builtins(_try(attempt, outcome.began)) for attempt in outcome.attempts],
        "timings": {
            "decision_seconds": outcome.decision_seconds,
            "overhead_seconds": outcome.overhead_seconds,
            "first_byte_seconds": outcome.first_byte_seconds,
            "seconds": outcome.seconds,
            "bytes_out": outcome.bytes_out,
        },
    }


def running_detail(exchange: Exchange, now: float) -> dict[str, Any]:
    """Return what is known of a running request so far."""
    shown: dict[str, Any] = msgspec.to_builtins(running(exchange, now))
    return shown | {
        "running": True,
        **_reasons(exchange.trail),
        "tries": [msgspec.to_builtins(_try(attempt, exchange.started)) for attempt in exchange.attempts],
        "timings": {
            "decision_seconds": exchange.trail.decision_seconds,
            "overhead_seconds": exchange.trail.overhead(),
            "first_byte_seconds": exchange.first_byte,
            "seconds": now - exchange.started,
            "bytes_out": exchange.bytes_out,
        },
    }


def needs(requirements: Requirements) -> dict[str, Any]:
    """Return what a request needs; ids of gateways that it passed are nobody's business."""
    names = [name for name in requirements.__struct_fields__ if name != "passed"]
    return {name: getattr(requirements, name) for name in names} | {"model": requirements.model[:NAME_SHOWN]}


def explanation(told: Explanation) -> dict[str, Any]:
    """Return one decision."""
    shown: dict[str, Any] = msgspec.to_builtins(told)
    return shown | {"requested": told.requested[:NAME_SHOWN]}


def _reasons(trail: Trail) -> dict[str, Any]:
    return {
        "needs": None if trail.needs is None else needs(trail.needs),
        "decisions": [explanation(explain(decided)) for decided in trail.decisions],
    }


def _try(attempt: Attempt, began: float) -> Try:
    return Try(
        backend=attempt.backend,
        model=attempt.model,
        failure=None if attempt.failure is None else attempt.failure.value,
        status=attempt.status,
        message=attempt.message,
        sent=attempt.sent,
        after_seconds=max(0.0, attempt.began - began),
        first_byte_seconds=attempt.first_byte_seconds,
        seconds=attempt.seconds,
        retry_after=attempt.retry_after,
    )


def _relayed_failure(outcome: Outcome) -> str:
    """Name the failure of a reply that was relayed as it was."""
    last = outcome.attempts[-1].failure if outcome.attempts else None
    return last.value if last is not None and outcome.status >= 400 else ""
