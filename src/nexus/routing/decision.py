"""What one decision says: whom to ask, or why nobody can serve."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nexus.domain import Rejection, RouteReason
from nexus.registry import Candidate


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

    @property
    def ranking(self) -> tuple[Candidate, ...]:
        """Everyone who could serve, best first."""
        return tuple(self.survivors[at] for at in self._places())

    @property
    def scores(self) -> tuple[float, ...]:
        """The strategy's figure for each of the ranking, higher is better."""
        return tuple(-self.costs[at] for at in self._places())

    def _places(self) -> Sequence[int]:
        costs = self.costs
        return sorted(range(len(costs)), key=costs.__getitem__) if self.order is None else self.order


class Refusal(msgspec.Struct, frozen=True):
    """Nobody can serve the request now.

    Attributes:
        requested: the name as the client wrote it.
        chain: the model ids that it stands for.
        known: some backend has had one of them: 503 instead of 404.
        nearest: names that resemble it, when it is not known.
        rejections: backend name, model and rejection, for every rule that every candidate not
            yet tried failed.
        retry_after: seconds until the first of those that are merely busy may be asked again.
    """

    requested: str
    chain: tuple[str, ...]
    known: bool
    nearest: tuple[str, ...]
    rejections: tuple[tuple[str, str, Rejection], ...]
    retry_after: float | None
