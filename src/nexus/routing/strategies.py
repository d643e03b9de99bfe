"""How survivors are ranked; a new strategy is one function and one line in ``STRATEGIES``.

A strategy returns one number per survivor, lower is better. Those that are equal are told apart by
further columns of numbers, the most significant first, and then by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.domain import Strategy, Weights
from nexus.registry import Candidate

Costs = Callable[[Sequence[Candidate], Weights], list[float]]
Column = Callable[[Sequence[Candidate]], list[float]]


class Ranking(msgspec.Struct, frozen=True):
    """One strategy.

    Attributes:
        costs: its figure for each survivor.
        ties: what tells survivors of equal cost apart; asked only when there are any.
    """

    costs: Costs
    ties: tuple[Column, ...] = ()


def smart(survivors: Sequence[Candidate], weights: Weights) -> list[float]:
    """Weigh priority, load and latency.

    ``score = w_priority * P + w_load * L + w_latency * T``, each part 0 to 1: how far from the last
    priority, how idle, and ``fastest / own`` time to first byte. An unmeasured time counts as the
    median of the others; when none is measured all are equal. The cost is the score, negative.
    """
    by_priority, by_load, by_latency = -weights.priority, -weights.load, -weights.latency
    fastest = math.inf
    complete = True
    for candidate in survivors:
        own = candidate.stats.first_byte
        if own is None:
            complete = False
        elif own < fastest:
            fastest = own
    typical = math.inf if complete else _typical(survivors)
    costs: list[float] = []
    for candidate in survivors:
        load = candidate.load.in_flight / candidate.slots
        own = candidate.stats.first_byte
        if own is None:
            own = typical
        costs.append(
            by_priority * candidate.preferred
            + by_load * (1.0 - load if load < 1.0 else 0.0)
            + by_latency * (fastest / own if own > fastest else 1.0)
        )
    return costs


def _typical(survivors: Sequence[Candidate]) -> float:
    """Return the median time to first byte of those that are measured, in seconds; ``inf`` for none."""
    measured = [own for candidate in survivors if (own := candidate.stats.first_byte) is not None]
    if not measured:
        return math.inf
    measured.sort()
    middle = len(measured) // 2
    return measured[middle] if len(measured) % 2 else (measured[middle - 1] + measured[middle]) / 2


def round_robin(survivors: Sequence[Candidate], weights: Weights) -> list[float]:  # noqa: ARG001 - the form of every strategy
    """Longest without a lease first, which is each in turn however the set changes."""
    return [candidate.stats.turn for candidate in survivors]


def priority_only(survivors: Sequence[Candidate], weights: Weights) -> list[float]:  # noqa: ARG001 - the form of every strategy
    """Lowest priority number first."""
    return [candidate.priority for candidate in survivors]


def by_chance(survivors: Sequence[Candidate], weights: Weights) -> list[float]:  # noqa: ARG001 - the form of every strategy
    """Rank at random."""
    return [0.0] * len(survivors)


def in_flight_per_slot(survivors: Sequence[Candidate]) -> list[float]:
    """Return requests in flight per slot of each backend: the idler first."""
    return [candidate.load.in_flight / candidate.slots for candidate in survivors]


def registered(survivors: Sequence[Candidate]) -> list[float]:
    """Return places in the order of registration."""
    return [candidate.order for candidate in survivors]


STRATEGIES: Final[Mapping[Strategy, Ranking]] = MappingProxyType(
    {
        Strategy.SMART: Ranking(smart, (in_flight_per_slot,)),
        Strategy.ROUND_ROBIN: Ranking(round_robin, (registered,)),
        Strategy.PRIORITY_ONLY: Ranking(priority_only, (in_flight_per_slot,)),
        Strategy.RANDOM: Ranking(by_chance),
    }
)
