"""How survivors are ranked; a new strategy is one function and one line in ``STRATEGIES``.

A strategy returns columns of numbers, one number per survivor, lower is better, the most
significant column first. The router sorts by them, and breaks what ties remain by chance.
"""

from __future__ import annotations

import math
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

    ``score = w_priority * P + w_load * L + w_latency * T``, each part 0 to 1: how far from the last
    priority, how idle, and ``fastest / own`` time to first byte. An unmeasured time counts as the
    median of the others; when none is measured all are equal.
    """
    by_priority, by_load, by_latency = weights.priority, weights.load, weights.latency
    fastest = math.inf
    complete = True
    for candidate in survivors:
        own = candidate.stats.first_byte
        if own is None:
            complete = False
        elif own < fastest:
            fastest = own
    typical = None if complete else _typical(survivors)
    costs: list[float] = []
    loads: list[float] = []
    for candidate in survivors:
        load = candidate.load.in_flight / candidate.slots
        idle = 1.0 - load if load < 1.0 else 0.0
        own = candidate.stats.first_byte
        if own is None:
            own = typical
        latency = fastest / own if own is not None and own > fastest else 1.0
        costs.append(-(by_priority * candidate.preferred + by_load * idle + by_latency * latency))
        loads.append(load)
    return costs, loads


def _typical(survivors: Sequence[Candidate]) -> float | None:
    """Return the median time to first byte of those that are measured, in seconds."""
    samples = [candidate.stats.first_byte for candidate in survivors]
    measured = [sample for sample in samples if sample is not None]
    return median(measured) if measured else None


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


STRATEGIES: Final[Mapping[Strategy, Rank]] = MappingProxyType(
    {
        Strategy.SMART: smart,
        Strategy.ROUND_ROBIN: round_robin,
        Strategy.PRIORITY_ONLY: priority_only,
        Strategy.RANDOM: by_chance,
    }
)
