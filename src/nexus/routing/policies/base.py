"""What a policy is, and what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from nexus.domain import Rejection, RejectionKind, Requirements
from nexus.registry import Candidate


class JudgeContext(msgspec.Struct, frozen=True):
    """One request as policies see it.

    Attributes:
        requirements: what it needs.
        now: monotonic seconds.
        surface: name of its surface.
        text_bytes: bytes of prompt text.
        max_tokens: tokens that it asks for, or 0.
    """

    requirements: Requirements
    now: float
    surface: str
    text_bytes: int
    max_tokens: int


def judge_context(requirements: Requirements, now: float) -> JudgeContext:
    """Return ``requirements`` at ``now`` (monotonic seconds) as policies see them."""
    return JudgeContext(
        requirements, now, requirements.surface, requirements.text_bytes, requirements.max_tokens or 0
    )


class Policy(Protocol):
    """One routing rule.

    Law: it sees one candidate and can only reject it; it cannot add, reorder, await or see other
    policies. The order of policies changes cost, never the result.

    What it may depend on is stated, so that nothing is asked twice: ``applies`` on surface and
    capabilities alone, and ``judge`` on these and on what does not change about a candidate while
    a snapshot lives. A rule for which that is not enough is a :class:`LivePolicy`.
    """

    @property
    def name(self) -> str:
        """Stable, for display."""
        ...

    def applies(self, requirements: Requirements) -> bool:
        """Return whether these requirements can fail the rule at all."""
        ...

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Return why the candidate cannot serve, or ``None``."""
        ...


class LivePolicy(Policy, Protocol):
    """A rule that judges every request. Most pass everybody, and that is told for all at once.

    Law: while no candidate is busy or rests, ``judge`` rejects none of them for a request without
    ``context_above`` whose prompt in bytes, and six for each token of ``max_tokens``, come to no
    more than ``room``.
    """

    def room(self, candidates: Sequence[Candidate]) -> float:
        """Return how many bytes surely pass with all ``candidates``; asked once while a snapshot lives."""
        ...


def final(code: str, message: str) -> Rejection:
    """Return a rejection that waiting does not lift."""
    return Rejection(RejectionKind.FINAL, code, message)


def transient(code: str, message: str) -> Rejection:
    """Return a rejection that waiting may lift."""
    return Rejection(RejectionKind.TRANSIENT, code, message)
