"""The pipeline: names, candidates, policies, ranking. Synchronous and without I/O.

Law: there is no ``await`` between a decision and the lease that it leads to, or two requests see
the same idle backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from nexus.domain import Rejection, RejectionKind, Requirements, RouteReason
from nexus.registry import Candidate, Resolution, Snapshot
from nexus.routing import resolve
from nexus.routing.decision import Decision, Refusal
from nexus.routing.policies import POLICIES, JudgeContext, Policy, judge_context
from nexus.routing.strategies import STRATEGIES

Judge = Callable[[JudgeContext, Candidate], Rejection | None]

_CAPABILITIES: Final = ("vision", "remote_image", "audio", "tools", "json", "embeddings")
_NONE: Final[frozenset[str]] = frozenset()
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
    resolution = resolve.names(snapshot, requirements.model)
    context = judge_context(requirements, now)
    judges: list[Judge] = [policy.judge for policy in policies if policy.applies(requirements)]
    for model in resolution.chain:
        candidates = snapshot.candidates(model, resolution.pinned)
        if tried:
            candidates = _untried(candidates, tried)
        survivors, busy = _judge(candidates, context, judges)
        if survivors:
            ranking, scores = _rank(snapshot, survivors, context, rng)
            reason = RouteReason.FAILOVER if tried else _reason(ranking, busy, context, judges)
            fallback, pinned = model != resolution.chain[0], resolution.pinned is not None
            return Decision(ranking[0], requirements.model, model, fallback, pinned, reason, ranking, scores)
    return _refuse(snapshot, resolution, context, judges, tried)


def _untried(candidates: tuple[Candidate, ...], tried: frozenset[str]) -> tuple[Candidate, ...]:
    return tuple(candidate for candidate in candidates if candidate.backend.spec.id not in tried)


def _judge(
    candidates: tuple[Candidate, ...], context: JudgeContext, judges: list[Judge]
) -> tuple[list[Candidate], list[Candidate]]:
    """Return who survives every rule, and whom some rule excluded while it was busy."""
    survivors: list[Candidate] = []
    busy: list[Candidate] = []
    now = context.now
    for candidate in candidates:
        for judge in judges:
            if judge(context, candidate) is not None:
                if candidate.stats.busy_until > now:
                    busy.append(candidate)
                break
        else:
            survivors.append(candidate)
    return survivors, busy


def _rank(
    snapshot: Snapshot, survivors: list[Candidate], context: JudgeContext, rng: Random
) -> tuple[tuple[Candidate, ...], tuple[float, ...]]:
    """Sort by tier, then by the strategy's columns, then by chance.

    The sorts are stable and run from the least significant column to the most: sorting by plain
    numbers several times is cheaper than once by tuples. Without ties in the first column the
    others and chance have no say.
    """
    rules = snapshot.rules
    columns = STRATEGIES[rules.strategy](survivors, rules.weights)
    first = columns[0]
    if len(survivors) == 1:
        return (survivors[0],), (-first[0],)
    order = list(range(len(survivors)))
    if len(set(first)) < len(order):
        draw = rng.random
        chances = [draw() for _ in order]
        order.sort(key=chances.__getitem__)
        for column in columns[:0:-1]:
            order.sort(key=column.__getitem__)
    order.sort(key=first.__getitem__)
    tiers = _tiers(survivors, context)
    if tiers is not None:
        order.sort(key=tiers.__getitem__)
    return tuple([survivors[at] for at in order]), tuple([-first[at] for at in order])


def _tiers(survivors: list[Candidate], context: JudgeContext) -> list[int] | None:
    """Rank resting pairs last, and what is known to do before what may; ``None``: all are equal."""
    now = context.now
    needed = _needed(context.requirements)
    if not needed:
        for candidate in survivors:
            if candidate.stats.resting_until > now:
                break
        else:
            return None
    return [
        2 * (candidate.stats.resting_until > now) + (not needed <= candidate.known_true)
        for candidate in survivors
    ]


def _needed(needs: Requirements) -> frozenset[str]:
    if needs.vision or needs.remote_image or needs.audio or needs.tools or needs.json or needs.embeddings:
        return frozenset([name for name in _CAPABILITIES if getattr(needs, name)])
    return _NONE


def _reason(
    ranking: tuple[Candidate, ...], busy: list[Candidate], context: JudgeContext, judges: list[Judge]
) -> RouteReason:
    """Say whether somebody preferred by priority was passed over for being full or busy."""
    limit = ranking[0].priority
    for candidate in ranking:
        if candidate.priority < limit and candidate.load.in_flight >= candidate.slots:
            return RouteReason.CAPACITY_OVERFLOW
    for candidate in busy:
        if candidate.priority < limit and _merely_busy(candidate, _rejections(candidate, context, judges)):
            return RouteReason.CAPACITY_OVERFLOW
    return RouteReason.CAPABILITY_MATCH


def _rejections(candidate: Candidate, context: JudgeContext, judges: list[Judge]) -> list[Rejection]:
    """Return what every rule says, final ones first, in an order that the rules' own cannot change."""
    found = [rejection for judge in judges if (rejection := judge(context, candidate)) is not None]
    found.sort(key=lambda rejection: (rejection.kind is not RejectionKind.FINAL, rejection.code))
    return found


def _merely_busy(candidate: Candidate, rejections: list[Rejection]) -> bool:
    return candidate.in_rotation and all(rejection.code in _WAITING_HELPS for rejection in rejections)


def _refuse(
    snapshot: Snapshot,
    resolution: Resolution,
    context: JudgeContext,
    judges: list[Judge],
    tried: frozenset[str],
) -> Refusal:
    requested = context.requirements.model
    told: list[tuple[str, str, Rejection]] = []
    waits: list[float] = []
    for model in resolution.chain:
        for candidate in _untried(snapshot.candidates(model, resolution.pinned), tried):
            found = _rejections(candidate, context, judges)
            told += [(candidate.backend.spec.name, model, rejection) for rejection in found]
            left = candidate.stats.busy_until - context.now
            if left > 0 and _merely_busy(candidate, found):
                waits.append(left)
    known = resolve.is_known(snapshot, requested, resolution)
    return Refusal(
        requested=requested,
        chain=resolution.chain,
        known=known,
        nearest=() if known else resolve.nearest(snapshot, requested),
        rejections=tuple(told),
        retry_after=min(waits, default=None),
    )
