"""Samples counted in buckets."""

from __future__ import annotations

from bisect import bisect_left

Bounds = tuple[float, ...]
"""Upper bounds, ascending."""


class Histogram:
    """Samples in buckets; the last one is what lies above every bound.

    The request path adds to ``counts`` and ``total`` itself where a call would cost as much again.

    Args:
        bounds: of the buckets.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def __bool__(self) -> bool:
        return any(self.counts)

    def add(self, sample: float) -> None:
        """Count one sample."""
        self.counts[bisect_left(self.bounds, sample)] += 1
        self.total += sample

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts under their upper bounds."""
        reached = 0
        rows = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            reached += count
            rows.append((bound, float(reached)))
        return rows


def rows_of(bounds: Bounds) -> int:
    """Return how many series one histogram is on the page: its buckets, their sum and their count."""
    return len(bounds) + 3
