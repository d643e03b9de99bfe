"""The usual request as numbers alone: one good attempt on who came first. Its plan says all else."""

from __future__ import annotations

from typing import Any, Final

from nexus.domain import Attempt, Gaps, Outcome, RouteReason, Usage, replace
from nexus.gateway.trail import Trail
from nexus.routing.decision import Decision
from nexus.routing.plan import Plan

FIELDS: Final = 27
_CAPABILITY_MATCH: Final = RouteReason.CAPABILITY_MATCH


def numbers_of(outcome: Outcome, trail: Trail, decision: Decision) -> tuple[Any, ...] | None:
    """Return ``FIELDS`` numbers and an id, or ``None`` for a request that is not of this kind.

    Args:
        outcome: how the request ended.
        trail: what it left behind.
        decision: its only one, in which no live rule objected to anybody.
    """
    needs, attempts = trail.needs, outcome.attempts
    if (
        needs is None
        or needs.context_above is not None
        or len(attempts) != 1
        or decision.fallback
        or decision.reason is not _CAPABILITY_MATCH
        or outcome.error
        or outcome.client_closed
    ):
        return None
    attempt, usage, gaps = attempts[0], outcome.usage, outcome.gaps
    if attempt.failure is not None:
        return None
    # fmt: off
    return (
        outcome.request_id, needs.stream, needs.text_bytes, needs.images, needs.max_tokens, outcome.status,
        outcome.streamed, None if usage is None else (usage.prompt_tokens, usage.completion_tokens),
        outcome.started_at, outcome.first_byte_seconds, outcome.seconds, outcome.bytes_out, outcome.began,
        outcome.delta_events, outcome.decision_seconds, outcome.overhead_seconds,
        None if gaps is None else (gaps.counts, gaps.seconds), outcome.traceparent, attempt.status,
        attempt.first_byte_seconds, attempt.seconds, attempt.began, decision.order, decision.costs,
        decision.in_flight, decision.first_bytes, decision.tiers,
    )
    # fmt: on


def success_of(numbers: list[Any], plan: Plan) -> tuple[Outcome, Trail]:
    """Return what ``numbers_of`` was given, but for what of the trail only a running request needs."""
    # fmt: off
    (
        request_id, stream, text_bytes, images, max_tokens, status, streamed, usage, started_at, first_byte,
        seconds, bytes_out, began, deltas, decision_seconds, overhead, gaps, traceparent, said, waited, took,
        asked_at, order, costs, in_flight, first_bytes, tiers,
    ) = numbers
    # fmt: on
    step = plan.steps[0]
    candidate = step.admitted[costs.index(min(costs)) if order is None else order[0]]
    backend, needs = candidate.backend, plan.needs
    spec = backend.spec
    trail = Trail()
    trail.needs = replace(needs, stream=stream, text_bytes=text_bytes, images=images, max_tokens=max_tokens)
    # fmt: off
    trail.decisions.append(Decision(
        candidate, needs.model, step.model, False, plan.pinned, _CAPABILITY_MATCH, step.admitted,  # noqa: FBT003
        order, costs, plan, step, in_flight, first_bytes, tiers, (), frozenset(),
    ))
    # fmt: on
    native_id = candidate.model.native_id
    attempt = Attempt(spec.name, spec.id, native_id, None, said, "", True, waited, took, None, asked_at)  # noqa: FBT003
    return Outcome(
        request_id=request_id,
        surface=needs.surface,
        model=needs.model,
        served_model=step.model,
        backend=spec.name,
        backend_type=backend.type,
        status=status,
        streamed=streamed,
        attempts=(attempt,),
        route_reason=_CAPABILITY_MATCH,
        usage=None if usage is None else Usage(*usage),
        started_at=started_at,
        first_byte_seconds=first_byte,
        seconds=seconds,
        bytes_out=bytes_out,
        began=began,
        resolved_model=step.model,
        delta_events=deltas,
        decision_seconds=decision_seconds,
        overhead_seconds=overhead,
        gaps=None if gaps is None else Gaps(*gaps),
        rejected_by=trail.rejected_by(),
        traceparent=traceparent,
    ), trail
