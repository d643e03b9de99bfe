"""No request returns to a gateway that it has passed."""

from __future__ import annotations

from typing import Final

from nexus.domain import Rejection, Requirements
from nexus.registry import Candidate
from nexus.routing.policies.base import JudgeContext, final


class Gateways:
    """Law: a model is not asked for by a way that the request has come."""

    name = "gateways"

    def applies(self, requirements: Requirements) -> bool:
        """Return whether the request has passed another gateway."""
        return bool(requirements.passed)

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Reject another gateway that the request has passed, or that would send it to one."""
        via = candidate.model.via
        if not via or set(via).isdisjoint(context.requirements.passed):
            return None
        fact = f"The way to {candidate.key!r} over backend {candidate.backend.spec.name!r}"
        return final(
            "gateways",
            f"{fact} leads back through a gateway that sent this request; add the server itself here.",
        )


POLICY: Final = Gateways()
