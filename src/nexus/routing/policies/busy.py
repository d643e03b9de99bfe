"""Only pairs that did not ask to be left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nexus.domain import Rejection, Requirements
from nexus.registry import Candidate
from nexus.routing.policies.base import Clear, JudgeContext, transient


class Busy:
    """``Retry-After`` of pairs whose backend is in rotation: elsewhere it is not what matters."""

    name = "busy"

    def applies(self, requirements: Requirements) -> bool:  # noqa: ARG002 - it always applies
        """Return ``True``."""
        return True

    def clear(self, candidates: Sequence[Candidate]) -> Clear:
        """Return whether none of them is busy."""
        everyone = tuple(candidate.stats for candidate in candidates)

        def nobody_busy(requirements: Requirements, now: float) -> bool:  # noqa: ARG001 - the form of every check
            for stats in everyone:  # noqa: SIM110 - a generator would cost more than the check
                if stats.busy_until > now:
                    return False
            return True

        return nobody_busy

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Reject what is busy."""
        stats = candidate.stats
        if stats.busy_until <= context.now or not candidate.in_rotation:
            return None
        name = f"Backend {candidate.backend.spec.name!r}"
        seconds = stats.busy_until - context.now
        if stats.busy_loading:
            return transient("loading", f"{name} is loading {candidate.key!r}; try again in {seconds:.0f} s.")
        return transient(
            "busy",
            f"{name} asked to be left alone for {seconds:.0f} s; "
            "wait, or add a backend that serves this model.",
        )


POLICY: Final = Busy()
