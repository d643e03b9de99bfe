"""What every decision for one kind of request has in common, worked out once per snapshot.

Requests that ask for the same name, surface and capabilities differ only in the size of their
prompts and in the moment. So names are resolved and lasting rules are judged once, and the
snapshot carries what came of it until it is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from nexus.domain import Rejection, Requirements
from nexus.registry import Candidate, Resolution, Snapshot
from nexus.registry.stats import PairStats
from nexus.routing import resolve
from nexus.routing.policies import LIVE_POLICIES, POLICIES, JudgeContext, Policy, judge_context
from nexus.routing.strategies import STRATEGIES, Ranking

Judge = Callable[[JudgeContext, Candidate], Rejection | None]

PLANS_MAX: Final = 1024
_NAME_MAX: Final = 256
_CAPABILITIES: Final = ("vision", "remote_image", "audio", "tools", "json", "embeddings")


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
    """

    model: str
    admitted: tuple[Candidate, ...]
    unsure: frozenset[Candidate]
    live: tuple[PairStats, ...]
    room: float
    preferred: int


class Plan(msgspec.Struct, frozen=True, eq=False):
    """How one kind of request is decided under one snapshot.

    Attributes:
        resolution: what the name stands for.
        pinned: it names one backend.
        steps: the chain, in order.
        judges: every rule that applies.
        live: those of them that judge each request by itself.
        ranking: the strategy.
    """

    resolution: Resolution
    pinned: bool
    steps: tuple[Step, ...]
    judges: tuple[Judge, ...]
    live: tuple[Judge, ...]
    ranking: Ranking


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
    lasting = [policy.judge for policy in applying if policy not in live]
    needed = frozenset(name for name in _CAPABILITIES if getattr(needs, name))
    context = judge_context(needs, 0.0)
    steps = []
    for model in resolution.chain:
        admitted = tuple(
            candidate
            for candidate in snapshot.candidates(model, resolution.pinned)
            if all(judge(context, candidate) is None for judge in lasting)
        )
        unsure = frozenset(candidate for candidate in admitted if not needed <= candidate.known_true)
        steps.append(
            Step(
                model=model,
                admitted=admitted,
                unsure=unsure,
                live=tuple(candidate.stats for candidate in admitted),
                room=min((policy.room(admitted) for policy in live), default=math.inf),
                preferred=min((candidate.priority for candidate in admitted), default=0),
            )
        )
    return Plan(
        resolution=resolution,
        pinned=resolution.pinned is not None,
        steps=tuple(steps),
        judges=tuple(policy.judge for policy in applying),
        live=tuple(policy.judge for policy in live),
        ranking=STRATEGIES[snapshot.rules.strategy](snapshot.rules.weights),
    )
