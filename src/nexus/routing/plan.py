"""What every decision for one kind of request has in common, worked out once per snapshot.

Requests that ask for the same name, surface and capabilities differ only in the size of their
prompts and in the moment. So names are resolved and lasting rules are judged once, and the
snapshot carries what came of it until it is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from nexus.domain import Rejection, RejectionKind, Requirements, RoutingRules, replace
from nexus.registry import Candidate, Resolution, Snapshot
from nexus.registry.stats import PairStats
from nexus.routing import resolve
from nexus.routing.policies import LIVE_POLICIES, POLICIES, JudgeContext, LivePolicy, Policy, judge_context
from nexus.routing.strategies import STRATEGIES, Ranking

PLANS_MAX: Final = 1024
_NAME_MAX: Final = 256
_CAPABILITIES: Final = ("vision", "remote_image", "audio", "tools", "json", "embeddings")


class Objection(msgspec.Struct, frozen=True, eq=False):
    """What one policy has against one candidate.

    Attributes:
        candidate: whom it rejects.
        policy: its name.
        rejection: why.
    """

    candidate: Candidate
    policy: str
    rejection: Rejection


class Step(msgspec.Struct, frozen=True, eq=False):
    """One model of the chain.

    Attributes:
        model: its bare id.
        admitted: candidates that no lasting rule rejects.
        unsure: those of them that are not known to do all that is needed, which rank after the
            others.
        live: their statistics.
        room: bytes up to which no live rule rejects any of them while all is quiet.
        preferred: the lowest priority number among them.
        rejected: what lasting rules have against the others, those of the models before it included.
    """

    model: str
    admitted: tuple[Candidate, ...]
    unsure: frozenset[Candidate]
    live: tuple[PairStats, ...]
    room: float
    preferred: int
    rejected: tuple[Objection, ...] = ()


class Plan(msgspec.Struct, frozen=True, eq=False):
    """How one kind of request is decided under one snapshot.

    Attributes:
        resolution: what the name stands for.
        pinned: it names one backend.
        steps: the chain, in order.
        policies: every rule that applies.
        live: those of them that judge each request by itself.
        ranking: the strategy.
        rules: the configuration that it follows.
        needs: of the first request of this kind; others differ in lengths, numbers and `context_above`.
    """

    resolution: Resolution
    pinned: bool
    steps: tuple[Step, ...]
    policies: tuple[Policy, ...]
    live: tuple[LivePolicy, ...]
    ranking: Ranking
    rules: RoutingRules
    needs: Requirements


def plan_of(snapshot: Snapshot, needs: Requirements, policies: Sequence[Policy]) -> Plan:
    """Return the plan for requests like ``needs``, from the snapshot's memory if it is there.

    Clients choose names, so that memory is bounded in number and length.
    """
    memory = snapshot.memory
    # fmt: off
    kind = (
        needs.model, needs.surface, needs.vision, needs.remote_image, needs.audio, needs.tools, needs.json,
        needs.embeddings, needs.passed,
    )
    # fmt: on
    plan: Plan | None = memory.get(kind)
    if plan is not None and policies is POLICIES:
        return plan
    plan = _make(snapshot, needs, policies)
    if policies is POLICIES and len(needs.model) <= _NAME_MAX:
        if len(memory) >= PLANS_MAX:
            memory.clear()
        memory[kind] = plan
    return plan


def _make(snapshot: Snapshot, needs: Requirements, policies: Sequence[Policy]) -> Plan:
    resolution = resolve.names(snapshot, needs.model)
    applying = [policy for policy in policies if policy.applies(needs)]
    live = [policy for policy in LIVE_POLICIES if policy in applying]
    lasting = [policy for policy in applying if policy not in live]
    needed = frozenset(name for name in _CAPABILITIES if getattr(needs, name))
    context = judge_context(needs, 0.0)
    steps = []
    rejected: tuple[Objection, ...] = ()
    for model in resolution.chain:
        candidates = snapshot.candidates(model, resolution.pinned)
        objected = tuple(found for one in candidates for found in objections(one, context, lasting))
        rejected += objected
        against = {found.candidate for found in objected}
        admitted = tuple(candidate for candidate in candidates if candidate not in against)
        unsure = frozenset(candidate for candidate in admitted if not needed <= candidate.known_true)
        steps.append(
            Step(
                model=model,
                admitted=admitted,
                unsure=unsure,
                live=tuple(candidate.stats for candidate in admitted),
                room=min((policy.room(admitted) for policy in live), default=math.inf),
                preferred=min((candidate.priority for candidate in admitted), default=0),
                rejected=rejected,
            )
        )
    return Plan(
        resolution=resolution,
        pinned=resolution.pinned is not None,
        steps=tuple(steps),
        policies=tuple(applying),
        live=tuple(live),
        ranking=STRATEGIES[snapshot.rules.strategy](snapshot.rules.weights),
        rules=snapshot.rules,
        needs=replace(needs, context_above=None),
    )


def objections(candidate: Candidate, context: JudgeContext, policies: Sequence[Policy]) -> list[Objection]:
    """Return what ``policies`` have against ``candidate``, final ones first.

    The order of the policies changes nothing about it.
    """
    found = [
        Objection(candidate, policy.name, rejection)
        for policy in policies
        if (rejection := policy.judge(context, candidate)) is not None
    ]
    if len(found) > 1:
        found.sort(key=lambda one: (one.rejection.kind is not RejectionKind.FINAL, one.rejection.code))
    return found
