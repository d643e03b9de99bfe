"""How many series there may be.

Law: what would be one too many is counted under ``other``, so that neither a large fleet nor a server
that names thousands of models makes the page grow without end, and every sum stays right.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

OTHER: Final = "other"
MAX_SERIES: Final = 10_000

K = TypeVar("K")


class SeriesBound:
    """Admits series until there are enough.

    Args:
        limit: how many.

    Attributes:
        limit: how many; a lower one keeps those that are there.
        used: admitted so far.
        folded: how often something was counted under ``other``.
    """

    __slots__ = ("folded", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.folded = 0

    def admits(self, rows: int) -> bool:
        """Take ``rows`` more series in, or tell that there is no room for them."""
        if self.used + rows > self.limit:
            self.folded += 1
            return False
        self.used += rows
        return True


class Tally(Generic[K]):
    """Counts by their labels.

    Args:
        bound: shared with all others on the page.
        other: the labels of what is beyond it.

    Attributes:
        counts: by labels.
    """

    __slots__ = ("_bound", "_other", "counts")

    def __init__(self, bound: SeriesBound, other: K) -> None:
        self._bound = bound
        self._other = other
        self.counts: dict[K, int] = {}

    def add(self, key: K, count: int = 1) -> None:
        """Count one, or ``count``, under the labels ``key``."""
        counts = self.counts
        if key not in counts and not self._bound.admits(1):
            key = self._other
        counts[key] = counts.get(key, 0) + count
