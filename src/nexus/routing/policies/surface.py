"""Only backends that serve the request's surface natively: nothing is translated."""

from __future__ import annotations

from typing import Final

from nexus.domain import Rejection, Requirements
from nexus.registry import Candidate
from nexus.routing.policies.base import JudgeContext, final


class Surface:
    """A surface that the dialect has, and that the pair did not turn out to lack."""

    name = "surface"

    def applies(self, requirements: Requirements) -> bool:  # noqa: ARG002 - it always applies
        """Return ``True``."""
        return True

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Reject what does not serve the surface."""
        surface = context.surface
        if surface in candidate.surfaces:
            return None
        backend = candidate.backend
        if surface in backend.surfaces:
            fact = f"turned out not to serve the {surface!r} surface for {candidate.key!r}"
        else:
            fact = f"is of type {backend.type.value!r}, which has no {surface!r} surface"
        return final(
            "surface",
            f"Backend {backend.spec.name!r} {fact}; use another surface or a backend that has it.",
        )


POLICY: Final = Surface()
