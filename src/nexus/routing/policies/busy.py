"""Only pairs that did not ask to be left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from nexus.domain import Rejection, Requirements
from nexus.registry import Candidate
from nexus.routing.policies.base import JudgeContext, transient


class Busy:
    """``Retry-After`` of pairs whose backend is in rotation: elsewhere it is not what matters."""

    name = "busy"

    def applies(self, requirements: Requirements) -> bool:  # noqa: ARG002 - it always applies
        """Return ``True``."""
        return True

    def room(self, candidates: Sequence[Candidate]) -> float:  # noqa: ARG002 - it goes by the moment alone
        """Return ``inf``."""
        return math.inf

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
