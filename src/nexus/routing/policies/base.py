"""What a policy is, and what it sees."""

from __future__ import annotations

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
    capabilities alone, and ``judge`` of a *lasting* rule on these and on what does not change
    about a candidate while a snapshot lives. Every other rule judges every request.
    """

    @property
    def name(self) -> str:
        """Stable, for display."""
        ...

    @property
    def lasting(self) -> bool:
        """A verdict holds for as long as the snapshot, for all requests of one kind."""
        ...

    def applies(self, requirements: Requirements) -> bool:
        """Return whether these requirements can fail the rule at all."""
        ...

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Return why the candidate cannot serve, or ``None``."""
        ...


def final(code: str, message: str) -> Rejection:
    """Return a rejection that waiting does not lift."""
    return Rejection(RejectionKind.FINAL, code, message)


def transient(code: str, message: str) -> Rejection:
    """Return a rejection that waiting may lift."""
    return Rejection(RejectionKind.TRANSIENT, code, message)
