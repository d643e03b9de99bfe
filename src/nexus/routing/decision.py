"""What one decision says: whom to ask, or why nobody can serve."""

from __future__ import annotations

import msgspec

from nexus.domain import Rejection, RouteReason
from nexus.registry import Candidate


class Decision(msgspec.Struct, frozen=True, eq=False):
    """Lease ``candidate`` now, before anything is awaited.

    Attributes:
        candidate: the first of the ranking.
        requested: the name as the client wrote it.
        model: the bare id that serves.
        fallback: the model is not the requested one but a fallback of it.
        pinned: the client named the backend: no failover.
        reason: for ``X-Nexus-Route-Reason``.
        ranking: everyone who could serve, best first.
        scores: the strategy's figure for each of them, higher is better.
    """

    candidate: Candidate
    requested: str
    model: str
    fallback: bool
    pinned: bool
    reason: RouteReason
    ranking: tuple[Candidate, ...]
    scores: tuple[float, ...]


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
