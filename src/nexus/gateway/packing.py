"""An ended request as few bytes: what is remembered of thousands must not crowd the caches out.

Kept as they are, the objects of a thousand requests took two megabytes, as much as a processor's own cache
holds, and every request paid for that.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

import msgspec

from nexus.domain import Attempt, FailureKind, Gaps, Outcome, Requirements, RouteReason, Usage
from nexus.gateway.packed_success import FIELDS, numbers_of, success_of
from nexus.gateway.trail import Trail
from nexus.routing.decision import Decision, Refusal
from nexus.routing.plan import Plan

# Measured with tracemalloc, rounded up.
_CANDIDATE_BYTES: Final = 1700
_SURVIVOR_BYTES: Final = 300
_OBJECTION_BYTES: Final = 600
_SOURCE_BYTES: Final = 600

Source = Plan | Decision | Refusal
"""What a decision is told from: its plan, when all else about it is numbers."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_NOTHING: Final[tuple[Source, ...]] = ()
# The first byte of a pickle of this protocol; messages begin with that of an array.
_PICKLE_PROTOCOL: Final = 5
_PICKLED: Final = 0x80


class TrailPacking:
    """Packs what ended, and unpacks what is asked for.

    The sources of a request are shared with those before it while they are the same, as those of
    one kind of request are until the fleet changes.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[Source, ...] = _NOTHING

    def pack(self, outcome: Outcome, trail: Trail) -> tuple[bytes, tuple[Source, ...]]:
        """Return everything that is a name or a number, and the rest."""
        last, made = self._last, trail.decisions
        if len(made) == 1 and isinstance(only := made[0], Decision) and _is_plain(only):
            numbers = numbers_of(outcome, trail, only)
            if numbers is not None:
                if not last or last[0] is not only.plan:
                    self._last = (only.plan,)
                return _packed(numbers), self._last
        sources: list[Source] = []
        decisions: list[tuple[Any, ...] | None] = []
        for decided in made:
            if isinstance(decided, Refusal) or not _is_plain(decided):
                sources.append(decided)
                decisions.append(None)
            else:
                sources.append(decided.plan)
                decisions.append(_numbers(decided))
        return _packed((*_outcome(outcome), _needs(trail.needs), decisions)), tuple(sources)

    @staticmethod
    def unpack(data: bytes, sources: tuple[Source, ...]) -> tuple[Outcome, Trail]:
        """Return what was packed; of the trail that is what the request needed and its decisions."""
        pickled = data[0] == _PICKLED
        # Lists as the one has them; the other would keep tuples as tuples.
        record: list[Any] = _lists(pickle.loads(data)) if pickled else _decode(data)  # noqa: S301  # our own
        if len(record) == FIELDS and isinstance(plan := sources[0], Plan):
            return success_of(record, plan)
        decisions, needs = record.pop(), record.pop()
        trail = Trail()
        requested = ""
        if needs is not None:
            needs[-1] = tuple(needs[-1])
            trail.needs = Requirements(*needs)
            requested = trail.needs.model
        for source, numbers in zip(sources, decisions, strict=True):
            made = _decision(source, requested, numbers) if isinstance(source, Plan) else source
            trail.decisions.append(made)
        return _said(record), trail

    @staticmethod
    def weigh(sources: tuple[Source, ...]) -> int:
        """Return about how many bytes the sources of a request keep from being freed."""
        weight = 0
        for source in sources:
            plan = source if isinstance(source, Plan) else source.plan
            weight += _SOURCE_BYTES + _CANDIDATE_BYTES * sum(
                [len(step.admitted) + len(step.rejected) for step in plan.steps]
            )
            # Clients choose names, of whatever length.
            weight += 4 * len(plan.needs.model) + sum(map(len, plan.needs.passed))
            if isinstance(source, Refusal):
                weight += _OBJECTION_BYTES * len(source.rejected)
            elif isinstance(source, Decision):
                weight += _SURVIVOR_BYTES * len(source.survivors) + _OBJECTION_BYTES * len(source.objections)
        return weight


def _packed(record: tuple[Any, ...]) -> bytes:
    try:
        return _encode(record)
    except (UnicodeEncodeError, OverflowError):
        # Backends can send numbers and halves of characters that only Python knows.
        return pickle.dumps(record, _PICKLE_PROTOCOL)


def _is_plain(decision: Decision) -> bool:
    """Tell whether nobody was left out but by the plan."""
    return decision.survivors is decision.step.admitted and not decision.objections and not decision.tried


def _numbers(decision: Decision) -> tuple[Any, ...]:
    step = decision.plan.steps.index(decision.step) if decision.fallback else 0
    # fmt: off
    return (
        step, str(decision.reason), decision.order, decision.costs, decision.in_flight, decision.first_bytes,
        decision.tiers,
    )
    # fmt: on


def _decision(plan: Plan, requested: str, numbers: list[Any]) -> Decision:
    at, reason, order, costs, in_flight, first_bytes, tiers = numbers
    step = plan.steps[at]
    first = costs.index(min(costs)) if order is None else order[0]
    # fmt: off
    return Decision(
        step.admitted[first], requested, step.model, at > 0, plan.pinned, RouteReason(reason), step.admitted,
        order, costs, plan, step, in_flight, first_bytes, tiers, (), frozenset(),
    )
    # fmt: on


def _needs(needs: Requirements | None) -> tuple[Any, ...] | None:
    if needs is None:
        return None
    # fmt: off
    return (
        needs.surface, needs.model, needs.stream, needs.text_bytes, needs.images, needs.max_tokens,
        needs.context_above, needs.vision, needs.remote_image, needs.audio, needs.tools, needs.json,
        needs.embeddings, needs.passed,
    )
    # fmt: on


def _outcome(outcome: Outcome) -> tuple[Any, ...]:
    usage, gaps, reason = outcome.usage, outcome.gaps, outcome.route_reason
    # fmt: off
    attempts = [
        (
            one.backend, one.backend_id, one.model, None if one.failure is None else str(one.failure),
            one.status, one.message, one.sent, one.first_byte_seconds, one.seconds, one.retry_after,
            one.began,
        )
        for one in outcome.attempts
    ]
    return (
        outcome.request_id, outcome.surface, outcome.model, outcome.served_model, outcome.backend,
        str(outcome.backend_type), outcome.status, outcome.error, outcome.streamed, attempts,
        None if reason is None else str(reason), outcome.fallback,
        None if usage is None else (usage.prompt_tokens, usage.completion_tokens), outcome.started_at,
        outcome.first_byte_seconds, outcome.seconds, outcome.bytes_out, outcome.client_closed, outcome.began,
        outcome.resolved_model, outcome.delta_events, outcome.decision_seconds, outcome.overhead_seconds,
        None if gaps is None else (gaps.counts, gaps.seconds), outcome.rejected_by, outcome.traceparent,
    )
    # fmt: on


def _said(said: list[Any]) -> Outcome:
    said[9] = tuple([_attempt(one) for one in said[9]])
    said[10] = None if said[10] is None else RouteReason(said[10])
    said[12] = None if said[12] is None else Usage(*said[12])
    said[23] = None if said[23] is None else Gaps(*said[23])
    said[24] = tuple(said[24])
    return Outcome(*said)


def _lists(value: Any) -> Any:  # noqa: ANN401  # any part of a record
    return [_lists(each) for each in value] if isinstance(value, tuple | list) else value


def _attempt(said: list[Any]) -> Attempt:
    failure = None if said[3] is None else FailureKind(said[3])
    return Attempt(said[0], said[1], said[2], failure, *said[4:])
