"""What one decision says: whom to ask, or why nobody can serve."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nexus.domain import Rejection, RouteReason
from nexus.registry import Candidate
from nexus.routing.plan import Objection, Plan, Step


class Decision(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Lease ``candidate`` now, before anything is awaited.

    Attributes:
        candidate: the first of the ranking.
        requested: the name as the client wrote it.
        model: the bare id that serves.
        fallback: the model is not the requested one but a fallback of it.
        pinned: the client named the backend: no failover.
        reason: for ``X-Nexus-Route-Reason``.
        survivors: everyone who could serve, in order of registration.
        order: places in ``survivors``, best first; ``None`` when the first alone costs least: then
            the costs say it, and of equal ones behind it the earlier registered comes first.
        costs: the strategy's figure for each survivor, lower is better.
        plan, step: what decisions of this kind have in common, and the model of it that serves.
        in_flight, first_bytes: requests and average seconds to the first byte of each survivor, as they were.
        tiers: for each survivor 2 when it rests, and 1 more when it is not known to do all that is
            needed; ``None`` when all are 0.
        objections: what live rules have against the others.
        tried: ids of the backends that the request had tried before.
    """

    candidate: Candidate
    requested: str
    model: str
    fallback: bool
    pinned: bool
    reason: RouteReason
    survivors: Sequence[Candidate]
    order: Sequence[int] | None
    costs: Sequence[float]
    plan: Plan
    step: Step
    in_flight: Sequence[int]
    first_bytes: Sequence[float | None]
    tiers: Sequence[int] | None
    objections: Sequence[Objection]
    tried: frozenset[str]

    @property
    def rejected(self) -> tuple[Objection, ...]:
        """What any rule had against anybody."""
        return (*self.step.rejected, *self.objections) if self.objections else self.step.rejected

    @property
    def ranking(self) -> tuple[Candidate, ...]:
        """Everyone who could serve, best first."""
        return tuple(self.survivors[at] for at in self.places())

    @property
    def scores(self) -> tuple[float, ...]:
        """The strategy's figure for each of the ranking, higher is better."""
        return tuple(-self.costs[at] for at in self.places())

    def places(self) -> Sequence[int]:
        """Return places in ``survivors``, best first."""
        costs = self.costs
        return sorted(range(len(costs)), key=costs.__getitem__) if self.order is None else self.order


class Refusal(msgspec.Struct, frozen=True):
    """Nobody can serve the request now.

    Attributes:
        requested: the name as the client wrote it.
        chain: the model ids that it stands for.
        known: some backend has had one of them: 503 instead of 404.
        nearest: names that resemble it, when it is not known.
        rejected: what every rule has against every candidate not yet tried.
        retry_after: seconds until the first of those that are merely busy may be asked again.
        plan: what decisions of this kind have in common.
        tried: ids of the backends that the request had tried before.
    """

    requested: str
    chain: tuple[str, ...]
    known: bool
    nearest: tuple[str, ...]
    rejected: tuple[Objection, ...]
    retry_after: float | None
    plan: Plan
    tried: frozenset[str]

    @property
    def rejections(self) -> tuple[tuple[str, str, Rejection], ...]:
        """Backend name, model and rejection of each."""
        return tuple(
            (found.candidate.backend.spec.name, found.candidate.key, found.rejection)
            for found in self.rejected
        )
