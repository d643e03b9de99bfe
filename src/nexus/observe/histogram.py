"""Samples counted in buckets."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

Bounds = tuple[float, ...]
"""Upper bounds, ascending."""

_TOGETHER: Final = 128


class Histogram:
    """Samples in buckets; the last one is what lies above every bound.

    To find a sample's bucket costs several times what keeping it does, so a number of them are
    kept, and sorted in together.

    Args:
        bounds: of the buckets.
    """

    __slots__ = ("_counts", "_samples", "_total", "bounds")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._samples: list[float] = []
        self._total = 0.0

    def __bool__(self) -> bool:
        return bool(self._samples) or any(self._counts)

    @property
    def counts(self) -> list[int]:
        """Samples in each bucket."""
        self._sort_in()
        return self._counts

    @property
    def total(self) -> float:
        """The sum of all samples."""
        self._sort_in()
        return self._total

    def add(self, sample: float) -> None:
        """Count one sample."""
        samples = self._samples
        samples.append(sample)
        if len(samples) >= _TOGETHER:
            self._sort_in()

    def merge(self, counts: list[int], total: float) -> None:
        """Count what was counted elsewhere under the same bounds."""
        self._counts = [own + more for own, more in zip(self._counts, counts, strict=True)]
        self._total += total

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts under their upper bounds."""
        reached = 0
        rows = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            reached += count
            rows.append((bound, float(reached)))
        return rows

    def _sort_in(self) -> None:
        samples = self._samples
        if not samples:
            return
        self._samples = []
        samples.sort()
        self._total += sum(samples)
        counts, below = self._counts, 0
        for at, bound in enumerate(self.bounds):
            reached = bisect_right(samples, bound, below)
            counts[at] += reached - below
            below = reached
        counts[-1] += len(samples) - below


def rows_of(bounds: Bounds) -> int:
    """Return how many series one histogram is on the page: its buckets, their sum and their count."""
    return len(bounds) + 3
