"""The requests that ended last, each with what it takes to explain it.

Law: remembering costs the request path a few references; what is shown is worked out for whoever
asks. The ring is bounded in number and in bytes, and forgets the oldest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Generic, TypeVar

from nexus.domain import Outcome

T = TypeVar("T")


class Kept(Generic[T]):
    """One request that ended.

    Attributes:
        seq: grows with every request.
        outcome: how it ended.
        trail: what explains it.
        weight: about how many bytes it takes.
    """

    __slots__ = ("outcome", "seq", "trail", "weight")

    def __init__(self, seq: int, outcome: Outcome, trail: T, weight: int) -> None:
        self.seq = seq
        self.outcome = outcome
        self.trail = trail
        self.weight = weight


class RequestHistory(Generic[T]):
    """A ring of ended requests.

    Args:
        max_requests: 0 keeps none.
        max_bytes: of all of them, as ``weigh`` says.
        weigh: about how many bytes a request keeps from being freed.

    Attributes:
        seq: number of the request that ended last.
    """

    __slots__ = ("_by_id", "_bytes", "_max_bytes", "_max_requests", "_ring", "_weigh", "seq")

    def __init__(self, max_requests: int, max_bytes: int, weigh: Callable[[Outcome, T], int]) -> None:
        self._weigh = weigh
        self._ring: deque[Kept[T]] = deque()
        self._by_id: dict[str, Kept[T]] = {}
        self._bytes = 0
        self.seq = 0
        self.resize(max_requests, max_bytes)

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def forgotten(self) -> int:
        """How many requests ended that are not kept any more."""
        return self.seq - len(self._ring)

    def resize(self, max_requests: int, max_bytes: int) -> None:
        """Keep as many from now on; what is too much is forgotten at once."""
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._trim()

    def remember(self, outcome: Outcome, trail: T) -> None:
        """Keep one request, and forget the oldest while there is too much."""
        self.seq = seq = self.seq + 1
        weight = self._weigh(outcome, trail)
        kept = Kept(seq, outcome, trail, weight)
        self._ring.append(kept)
        self._by_id[outcome.request_id] = kept
        self._bytes += weight
        if len(self._ring) > self._max_requests or self._bytes > self._max_bytes:
            self._trim()

    def find(self, request_id: str) -> Kept[T] | None:
        """Return the request of this id that ended last; clients can give several the same."""
        return self._by_id.get(request_id)

    def newest_first(self, before: int | None = None) -> Iterator[Kept[T]]:
        """Return what is kept, or of that what has a lower number than ``before``."""
        return (kept for kept in reversed(self._ring) if before is None or kept.seq < before)

    def since(self, seq: int) -> list[Kept[T]]:
        """Return what ended after number ``seq``, oldest first."""
        found = list(takewhile(lambda kept: kept.seq > seq, reversed(self._ring)))
        found.reverse()
        return found

    def _trim(self) -> None:
        ring = self._ring
        while ring and (len(ring) > self._max_requests or self._bytes > self._max_bytes):
            oldest = ring.popleft()
            self._bytes -= oldest.weight
            if self._by_id.get(oldest.outcome.request_id) is oldest:
                del self._by_id[oldest.outcome.request_id]
