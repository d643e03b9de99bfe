"""Tells why a decision was made as it was, from what the decision itself keeps.

Law: explaining reads no live counter, so that it says the same a minute later; and deciding pays
for it with no more than a few references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nexus.domain import Consideration, Explanation, PolicyRejection, ScoreTerms, Strategy, Weights, replace
from nexus.registry import Candidate
from nexus.routing.decision import Decision, Refusal
from nexus.routing.plan import Objection, Plan


def explain(decided: Decision | Refusal) -> Explanation:
    """Return all that was weighed in one decision."""
    plan = decided.plan
    if isinstance(decided, Decision):
        considered = [*_ranked(decided), *_tried(decided.plan, decided.tried), *_rejected(decided.rejected)]
    else:
        considered = [*_tried(plan, decided.tried), *_rejected(decided.rejected)]
    chosen = decided if isinstance(decided, Decision) else None
    return Explanation(
        requested=decided.requested,
        model=chosen.model if chosen else "",
        chain=plan.resolution.chain,
        pinned=plan.pinned,
        fallback=chosen is not None and chosen.fallback,
        reason=chosen.reason.value if chosen else None,
        strategy=plan.rules.strategy.value,
        weights=_weights(plan.rules.weights),
        refusal=_sentence(decided) if isinstance(decided, Refusal) else None,
        candidates=tuple(considered),
    )


def _weights(weights: Weights) -> dict[str, int]:
    return {name: getattr(weights, name) for name in Weights.__struct_fields__}


def _sentence(refusal: Refusal) -> str:
    if not refusal.known:
        return f"No backend has had a model named '{refusal.requested[:200]}'."
    if refusal.tried and not refusal.rejected:
        return "Every backend that could serve it was tried."
    if not refusal.rejected:
        return "The backends that had the model are gone or do not list it any more."
    return "Every backend that offers the model is kept from serving by a rule."


def _ranked(decision: Decision) -> Iterator[Consideration]:
    rules = decision.plan.rules
    weights = rules.weights if rules.strategy is Strategy.SMART else None
    for rank, at in enumerate(decision.places(), 1):
        candidate = decision.survivors[at]
        in_flight, first_byte = decision.in_flight[at], decision.first_bytes[at]
        tier = decision.tiers[at] if decision.tiers is not None else 0
        score = -decision.costs[at]
        yield replace(
            _consideration(candidate),
            rank=rank,
            chosen=candidate is decision.candidate,
            score=score,
            terms=None if weights is None else _terms(candidate, weights, in_flight, score),
            in_flight=in_flight,
            first_byte_seconds=first_byte,
            resting=tier >= 2,
            unsure=tier % 2 == 1,
        )


def _terms(candidate: Candidate, weights: Weights, in_flight: int, score: float) -> ScoreTerms:
    """Take a score apart: priority and load are known, and what is left came from latency."""
    priority = weights.priority * candidate.preferred
    load = weights.load * max(0.0, 1.0 - in_flight / candidate.slots)
    return ScoreTerms(priority, load, max(0.0, score - priority - load))


def _tried(plan: Plan, tried: frozenset[str]) -> Iterator[Consideration]:
    if not tried:
        return
    for step in plan.steps:
        for candidate in step.admitted:
            if candidate.backend.spec.id in tried:
                yield replace(_consideration(candidate), tried=True)


def _rejected(objections: Sequence[Objection]) -> Iterator[Consideration]:
    grouped: dict[Candidate, list[PolicyRejection]] = {}
    for found in objections:
        rejection = found.rejection
        grouped.setdefault(found.candidate, []).append(
            PolicyRejection(rejection.kind, rejection.code, rejection.message, found.policy)
        )
    for candidate, rejections in grouped.items():
        yield replace(_consideration(candidate), rejections=tuple(rejections))


def _consideration(candidate: Candidate) -> Consideration:
    spec = candidate.backend.spec
    return Consideration(spec.name, spec.id, candidate.key, candidate.slots, candidate.priority)
