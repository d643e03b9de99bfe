"""How survivors are ranked; a new strategy is one function and one line in ``STRATEGIES``.

A strategy returns columns of numbers, one number per survivor, lower is better, the most
significant column first. The router sorts by them, and breaks what ties remain by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Final

from nexus.domain import Strategy, Weights
from nexus.registry import Candidate

Columns = tuple[list[float], ...]
Rank = Callable[[Sequence[Candidate], Weights], Columns]


def smart(survivors: Sequence[Candidate], weights: Weights) -> Columns:
    """Weigh priority, load and latency; ties go to fewer requests in flight per slot.

    ``score = (w_priority * P + w_load * L + w_latency * T) / 100``, each part 0 to 100.
    """
    by_priority, by_load, by_latency = weights.priority, weights.load, weights.latency
    loads = in_flight_per_slot(survivors)
    latencies = latency_scores([candidate.stats.first_byte for candidate in survivors])
    scores: list[float] = []
    for candidate, load, latency in zip(survivors, loads, latencies, strict=True):
        priority = candidate.priority
        preferred = 100 - priority if priority < 100 else 0
        idle = 100.0 - 100.0 * load if load < 1.0 else 0.0
        scores.append(-(by_priority * preferred + by_load * idle + by_latency * latency) / 100)
    return scores, loads


def round_robin(survivors: Sequence[Candidate], weights: Weights) -> Columns:  # noqa: ARG001 - the form of every strategy
    """Longest without a lease first, which is each in turn however the set changes."""
    order: list[float] = [candidate.order for candidate in survivors]
    return [candidate.stats.turn for candidate in survivors], order


def priority_only(survivors: Sequence[Candidate], weights: Weights) -> Columns:  # noqa: ARG001 - the form of every strategy
    """Lowest priority number first; ties go to fewer requests in flight per slot."""
    return [candidate.priority for candidate in survivors], in_flight_per_slot(survivors)


def by_chance(survivors: Sequence[Candidate], weights: Weights) -> Columns:  # noqa: ARG001 - the form of every strategy
    """Rank at random."""
    return ([0.0] * len(survivors),)


def in_flight_per_slot(survivors: Sequence[Candidate]) -> list[float]:
    """Return requests in flight per slot of each backend."""
    return [candidate.load.in_flight / candidate.slots for candidate in survivors]


def latency_scores(samples: Sequence[float | None]) -> list[float]:
    """Return ``100 * fastest / own`` for times to first byte in seconds.

    An unmeasured one counts as the median of the others; when none is measured all are equal.
    """
    measured = [sample for sample in samples if sample is not None]
    if not measured:
        return [100.0] * len(samples)
    fastest = min(measured)
    if len(measured) < len(samples):
        typical = median(measured)
        measured = [typical if sample is None else sample for sample in samples]
    return [100.0 * fastest / own if own > fastest else 100.0 for own in measured]


STRATEGIES: Final[Mapping[Strategy, Rank]] = MappingProxyType(
    {
        Strategy.SMART: smart,
        Strategy.ROUND_ROBIN: round_robin,
        Strategy.PRIORITY_ONLY: priority_only,
        Strategy.RANDOM: by_chance,
    }
)
