"""How survivors are ranked; a new strategy is one function and one line in ``STRATEGIES``.

A strategy gives one number per survivor, lower is better. Those that are equal are told apart by
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

Column = Callable[[Sequence[Candidate]], list[float]]
"""A number for each survivor."""


class Ranking(msgspec.Struct, frozen=True):
    """One strategy, with its weights.

    Attributes:
        costs: its figure for each survivor.
        ties: what tells survivors of equal cost apart; asked only when there are any.
    """

    costs: Column
    ties: tuple[Column, ...] = ()


def smart(weights: Weights) -> Ranking:
    """Weigh priority, load and latency; ties go to fewer requests in flight per slot.

    ``score = w_priority * P + w_load * L + w_latency * T``, each part 0 to 1: how far from the last
    priority, how idle, and ``fastest / own`` time to first byte. An unmeasured time counts as the
    median of the others; when none is measured all are equal. The cost is the score, negative.
    """
    # As floats: the interpreter multiplies two of a kind several times faster than an int by a float.
    by_priority, by_load, by_latency = -float(weights.priority), -float(weights.load), -float(weights.latency)

    def costs(survivors: Sequence[Candidate]) -> list[float]:
        fastest = math.inf
        complete = True
        for candidate in survivors:
            own = candidate.stats.first_byte
            if own is None:
                complete = False
            elif own < fastest:
                fastest = own
        typical = fastest if complete else _typical(survivors)
        found: list[float] = []
        for candidate in survivors:
            load = candidate.load.in_flight / candidate.slots
            own = candidate.stats.first_byte
            if own is None:
                own = typical
            found.append(
                by_priority * candidate.preferred
                + by_load * (1.0 - load if load < 1.0 else 0.0)
                + by_latency * (fastest / own if own > fastest else 1.0)
            )
        return found

    return Ranking(costs, (in_flight_per_slot,))


def _typical(survivors: Sequence[Candidate]) -> float:
    """Return the median time to first byte of those that are measured, in seconds; ``inf`` for none."""
    measured = []
    for candidate in survivors:
        own = candidate.stats.first_byte
        if own is not None:
            measured.append(own)
    if not measured:
        return math.inf
    measured.sort()
    middle = len(measured) // 2
    return measured[middle] if len(measured) % 2 else (measured[middle - 1] + measured[middle]) / 2


def round_robin(weights: Weights) -> Ranking:  # noqa: ARG001 - the form of every strategy
    """Longest without a lease first, which is each in turn however the set changes."""
    return Ranking(last_turn, (place,))


def priority_only(weights: Weights) -> Ranking:  # noqa: ARG001 - the form of every strategy
    """Lowest priority number first; ties go to fewer requests in flight per slot."""
    return Ranking(priority, (in_flight_per_slot,))


def by_chance(weights: Weights) -> Ranking:  # noqa: ARG001 - the form of every strategy
    """Rank at random."""
    return Ranking(nothing)


def in_flight_per_slot(survivors: Sequence[Candidate]) -> list[float]:
    """Return requests in flight per slot of each backend."""
    return [candidate.load.in_flight / candidate.slots for candidate in survivors]


def last_turn(survivors: Sequence[Candidate]) -> list[float]:
    """Return the numbers of their last leases."""
    return [candidate.stats.turn for candidate in survivors]


def place(survivors: Sequence[Candidate]) -> list[float]:
    """Return places in the order of registration."""
    return [candidate.order for candidate in survivors]


def priority(survivors: Sequence[Candidate]) -> list[float]:
    """Return priority numbers."""
    return [candidate.priority for candidate in survivors]


def nothing(survivors: Sequence[Candidate]) -> list[float]:
    """Return the same for all."""
    return [0.0] * len(survivors)


STRATEGIES: Final[Mapping[Strategy, Callable[[Weights], Ranking]]] = MappingProxyType(
    {
        Strategy.SMART: smart,
        Strategy.ROUND_ROBIN: round_robin,
        Strategy.PRIORITY_ONLY: priority_only,
        Strategy.RANDOM: by_chance,
    }
)
