"""Why a request went where it went: the whole of one decision, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nexus.domain.rejection import Rejection


class ScoreTerms(msgspec.Struct, frozen=True):
    """What each part of the ``smart`` score adds to it; together they are the score."""

    priority: float
    load: float
    latency: float


class PolicyRejection(Rejection, frozen=True):
    """A rejection, and the name of the ``policy`` that made it."""

    policy: str


class Consideration(msgspec.Struct, frozen=True):
    """How one candidate fared in one decision.

    Attributes:
        backend, backend_id: who it is.
        model: the bare id that it would have served.
        rank: place among those who could serve, from 1, or ``None``.
        chosen: it was asked.
        tried: an earlier attempt of the request had asked it.
        score: the strategy's figure, higher is better, or ``None`` when it was not ranked.
        terms: what the score is made of, under ``smart``.
        in_flight: requests that it had then, or ``None`` when it was not ranked.
        slots, priority: what these count against.
        first_byte_seconds: its average time to the first byte then, or ``None``.
        resting: it failed lately and ranked last.
        unsure: it is not known to do all that the request needs, and ranked after those that are.
        rejections: what each policy had against it.
    """

    backend: str
    backend_id: str
    model: str
    slots: int
    priority: int
    rank: int | None = None
    chosen: bool = False
    tried: bool = False
    score: float | None = None
    terms: ScoreTerms | None = None
    in_flight: int | None = None
    first_byte_seconds: float | None = None
    resting: bool = False
    unsure: bool = False
    rejections: tuple[PolicyRejection, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """One decision.

    Attributes:
        requested: the name as the client wrote it.
        model: the bare id that serves, or empty when nobody does.
        chain: the ids that the name stands for, in the order in which they are tried.
        pinned: the name names a backend.
        fallback: ``model`` is not the first of the chain.
        reason: as in ``X-Nexus-Route-Reason``, or ``None`` when nobody serves.
        strategy: its name.
        weights: of ``smart``, by part.
        refusal: why nobody serves, in one sentence, or ``None``.
        candidates: the ranked ones first, best first; then those tried before; then the rejected.
    """

    requested: str
    model: str
    chain: tuple[str, ...]
    pinned: bool
    fallback: bool
    reason: str | None
    strategy: str
    weights: Mapping[str, int]
    refusal: str | None
    candidates: tuple[Consideration, ...]
