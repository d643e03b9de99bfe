"""The one form of all rules about a capability: only a known ``False`` excludes."""

from __future__ import annotations

from collections.abc import Mapping

from nexus.domain import BackendType, Rejection, Requirements
from nexus.registry import Candidate
from nexus.routing.policies.base import JudgeContext, final


class CapabilityPolicy:
    """Law: unknown is not unsupported.

    Args:
        name: field of ``Requirements`` and of ``Capabilities``, and the rejection's code.
        lacks: completes "model x on backend y ...".
        remedy: what would help anywhere.
        starts: what would help first on a type of server, where that differs.
    """

    def __init__(
        self, name: str, lacks: str, remedy: str, starts: Mapping[BackendType, str] | None = None
    ) -> None:
        self.name = name
        self._lacks = lacks
        self._remedy = remedy
        self._starts = starts or {}

    def applies(self, requirements: Requirements) -> bool:
        """Return whether the request needs the capability."""
        needed: bool = getattr(requirements, self.name)
        return needed

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:  # noqa: ARG002 - the form of every policy
        """Reject what is known to lack the capability."""
        if self.name not in candidate.known_false:
            return None
        where = f"Model {candidate.key!r} on backend {candidate.backend.spec.name!r}"
        start = self._starts.get(candidate.backend.type)
        remedy = f"{start}, or {self._remedy}" if start else self._remedy
        return final(self.name, f"{where} {self._lacks}; {remedy}.")
