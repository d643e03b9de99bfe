"""The pipeline: names, candidates, policies, ranking. Synchronous and without I/O.

Law: there is no ``await`` between a decision and the lease that it leads to, or two requests see
the same idle backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from nexus.domain import Requirements, RouteReason, replace
from nexus.registry import Candidate, Snapshot
from nexus.registry.stats import DEFAULT_BYTES_PER_TOKEN
from nexus.routing import resolve
from nexus.routing.decision import Decision, Refusal
from nexus.routing.plan import Objection, Plan, Step, objections, plan_of
from nexus.routing.policies import CONTEXT_LENGTH, POLICIES, JudgeContext, Policy, judge_context
from nexus.routing.strategies import Column

MOST_BYTES_PER_TOKEN: Final = 24
"""No ordinary text has more: ruled lines reach 21 (measured with a real tokenizer)."""

_CAPABILITY_MATCH: Final = RouteReason.CAPABILITY_MATCH
_FAILOVER: Final = RouteReason.FAILOVER
_NONE: Final[frozenset[str]] = frozenset()
_NO_OBJECTIONS: Final[Sequence[Objection]] = ()
_WAITING_HELPS: Final = frozenset({"busy", "loading"})


def decide(
    snapshot: Snapshot,
    requirements: Requirements,
    now: float,
    rng: Random,
    tried: frozenset[str] = _NONE,
    *,
    policies: Sequence[Policy] = POLICIES,
) -> Decision | Refusal:
    """Choose who serves a request.

    Args:
        snapshot: the newest one.
        requirements: what the request needs.
        now: monotonic seconds.
        rng: breaks ties.
        tried: ids of the backends that this request has tried already.
        policies: the rules.

    Returns:
        A ranking with its first, or why nobody can serve.
    """
    plan = plan_of(snapshot, requirements, policies)
    at_rest = now >= snapshot.unrest.until
    # Of more than a step has room for, and of what asks known contexts, every judge is heard.
    asked = requirements.text_bytes + DEFAULT_BYTES_PER_TOKEN * (requirements.max_tokens or 0)
    bounded = requirements.context_above is None
    rejected = _NO_OBJECTIONS
    for step in plan.steps:
        survivors: Sequence[Candidate] = step.admitted
        quiet = at_rest or _is_quiet(step, now)
        if tried or not (quiet and bounded and asked <= step.room):
            context = judge_context(requirements, now)
            survivors, objected = _judge(step.admitted, tried, context, plan.live)
            rejected = [*rejected, *objected]
        if survivors:
            return _choose(plan, step, survivors, rejected, tried, quiet, now, rng)
    context = judge_context(requirements, now)
    roomier = _roomiest(plan, context, tried)
    if roomier is not None:
        return decide(snapshot, roomier, now, rng, tried, policies=policies)
    return _refuse(snapshot, plan, context, tried)


def _choose(
    plan: Plan,
    step: Step,
    survivors: Sequence[Candidate],
    rejected: Sequence[Objection],
    tried: frozenset[str],
    quiet: bool,
    now: float,
    rng: Random,
) -> Decision:
    """Rank who survived, and take the first."""
    costs = plan.ranking.costs(survivors)
    least = min(costs)
    tiers = None
    order = None
    if step.unsure or not quiet or costs.count(least) > 1:
        tiers = _tiers(survivors, step, quiet, now)
        order = _order(survivors, costs, plan.ranking.ties, tiers, rng)
    first = survivors[costs.index(least) if order is None else order[0]]
    reason = _CAPABILITY_MATCH if not tried else _FAILOVER
    if first.priority > step.preferred and not tried:
        reason = _reason(first, survivors, rejected)
    in_flight = [candidate.load.in_flight for candidate in survivors]
    first_bytes = [candidate.stats.first_byte for candidate in survivors]
    fallback = step is not plan.steps[0]
    # fmt: off
    return Decision(
        first, plan.needs.model, step.model, fallback, plan.pinned, reason, survivors, order, costs,
        plan, step, in_flight, first_bytes, tiers, rejected, tried,
    )
    # fmt: on


def _is_quiet(step: Step, now: float) -> bool:
    """Tell whether nobody is busy or rests, although somebody else of the fleet may."""
    for stats in step.live:  # noqa: SIM110 - a generator would cost more than the checks
        if stats.busy_until > now or stats.resting_until > now:
            return False
    return True


def _judge(
    admitted: tuple[Candidate, ...], tried: frozenset[str], context: JudgeContext, policies: Sequence[Policy]
) -> tuple[list[Candidate], list[Objection]]:
    """Return who survives every rule, and what the rules have against the others."""
    survivors: list[Candidate] = []
    rejected: list[Objection] = []
    for candidate in admitted:
        if tried and candidate.backend.spec.id in tried:
            continue
        found = objections(candidate, context, policies)
        if found:
            rejected += found
        else:
            survivors.append(candidate)
    return survivors, rejected


def _tiers(survivors: Sequence[Candidate], step: Step, quiet: bool, now: float) -> list[int] | None:
    """Rank resting pairs last, and what is known to do before what may; ``None``: all are equal."""
    unsure = step.unsure
    if quiet and not unsure:
        return None
    return [2 * (candidate.stats.resting_until > now) + (candidate in unsure) for candidate in survivors]


def _order(
    survivors: Sequence[Candidate],
    costs: list[float],
    ties: Sequence[Column],
    tiers: list[int] | None,
    rng: Random,
) -> Sequence[int]:
    """Sort places by tier, then by cost, then by what tells ties apart, then by chance.

    Where one alone costs least this is not asked: nobody needs all of the order to send a request.

    The sorts are stable and run from the least significant column to the most: sorting by plain
    numbers several times is cheaper than once by tuples.
    """
    order = list(range(len(costs)))
    if len(set(costs)) < len(costs):
        draw = rng.random
        chances = [draw() for _ in order]
        order.sort(key=chances.__getitem__)
        for column in reversed(ties):
            order.sort(key=column(survivors).__getitem__)
    order.sort(key=costs.__getitem__)
    if tiers is not None:
        order.sort(key=tiers.__getitem__)
    return order


def _reason(first: Candidate, survivors: Sequence[Candidate], rejected: Sequence[Objection]) -> RouteReason:
    """Say whether somebody preferred by priority was passed over for being full or busy."""
    limit = first.priority
    for candidate in survivors:
        if candidate.priority < limit and candidate.load.in_flight >= candidate.slots:
            return RouteReason.CAPACITY_OVERFLOW
    preferred = {found.candidate for found in rejected if found.candidate.priority < limit}
    for candidate in preferred:
        if _merely_busy([found for found in rejected if found.candidate is candidate]):
            return RouteReason.CAPACITY_OVERFLOW
    return _CAPABILITY_MATCH


def _merely_busy(found: Sequence[Objection]) -> bool:
    return all(one.rejection.code in _WAITING_HELPS for one in found)


def _roomiest(plan: Plan, context: JudgeContext, tried: frozenset[str]) -> Requirements | None:
    """Return what asks only the largest contexts, when an estimate alone has excluded everybody.

    Law: a prompt that fits is never refused. Bytes do not tell tokens for certain (indented text
    and long words have nine or more bytes a token), so the estimate chooses between backends but
    refuses only what no text could fit; else the backend itself judges, in its own words.
    """
    needs = context.requirements
    if needs.context_above is not None:
        return None
    largest = 0
    for step in plan.steps:
        for candidate in step.admitted:
            known = candidate.context_length
            if known is None or known <= largest or candidate.backend.spec.id in tried:
                continue
            if all(one.rejection.code == CONTEXT_LENGTH for one in objections(candidate, context, plan.live)):
                largest = known
    if not largest or needs.text_bytes > MOST_BYTES_PER_TOKEN * largest:
        return None
    return replace(needs, text_bytes=int(DEFAULT_BYTES_PER_TOKEN) * largest, max_tokens=None)


def _refuse(snapshot: Snapshot, plan: Plan, context: JudgeContext, tried: frozenset[str]) -> Refusal:
    requested, resolution = context.requirements.model, plan.resolution
    told: list[Objection] = []
    waits: list[float] = []
    for model in resolution.chain:
        for candidate in snapshot.candidates(model, resolution.pinned):
            if candidate.backend.spec.id in tried:
                continue
            found = objections(candidate, context, plan.policies)
            told += found
            left = candidate.stats.busy_until - context.now
            if left > 0 and candidate.in_rotation and _merely_busy(found):
                waits.append(left)
    known = resolve.is_known(snapshot, requested, resolution)
    return Refusal(
        requested=requested,
        chain=resolution.chain,
        known=known,
        nearest=() if known else resolve.nearest(snapshot, requested),
        rejected=tuple(told),
        retry_after=min(waits, default=None),
        plan=plan,
        tried=tried,
    )
