"""The requests that ended last, with what explains them: a consumer of outcomes.

Law: it is bounded in number and in bytes, and forgets the oldest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from nexus.domain import Outcome

T = TypeVar("T")
S = TypeVar("S")

_RECORD_BYTES: Final = 80
"""Of one record, beside its text."""
_HEAD_BYTES: Final = 32
"""What a record has before the id, at most."""


class Packing(Protocol[T, S]):
    """How a request is kept."""

    def pack(self, outcome: Outcome, trail: T) -> tuple[bytes, S]:
        """Return a request as bytes, which begin with its id in UTF-8, and what is shared by several."""
        ...

    def unpack(self, data: bytes, sources: S) -> tuple[Outcome, T]:
        """Return what was packed."""
        ...

    def weigh(self, sources: S) -> int:
        """Return about how many bytes ``sources`` keep from being freed."""
        ...


class Kept(Generic[T]):
    """One request that ended.

    Attributes:
        seq: grows with every request.
        outcome: how it ended.
        trail: what explains it.
    """

    __slots__ = ("outcome", "seq", "trail")

    def __init__(self, seq: int, outcome: Outcome, trail: T) -> None:
        self.seq = seq
        self.outcome = outcome
        self.trail = trail


class RequestHistory(Generic[T, S]):
    """A ring of ended requests.

    Args:
        max_requests: 0 keeps none.
        max_bytes: of all of them.
        packing: how they are kept.

    Attributes:
        seq: number of the request that ended last.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_requests", "_packing", "_records", "_sources", "seq")

    def __init__(self, max_requests: int, max_bytes: int, packing: Packing[T, S]) -> None:
        self._packing = packing
        # Two rows of equal length: a pair for each would be one more thing to keep.
        self._records: deque[bytes] = deque()
        self._sources: deque[S] = deque()
        self._bytes = 0
        self.seq = 0
        self.resize(max_requests, max_bytes)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def forgotten(self) -> int:
        """How many requests ended that are not kept any more."""
        return self.seq - len(self._records)

    @property
    def size(self) -> int:
        """About how many bytes the kept requests take."""
        return self._bytes

    def resize(self, max_requests: int, max_bytes: int) -> None:
        """Keep as many from now on; what is too much is forgotten at once."""
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._trim()

    def remember(self, outcome: Outcome, trail: T) -> None:
        """Keep one request, and forget the oldest while there is too much."""
        data, sources = self._packing.pack(outcome, trail)
        self.seq += 1
        kept = self._sources
        # What several in a row share is counted once.
        if not kept or kept[-1] is not sources:
            self._bytes += self._packing.weigh(sources)
        kept.append(sources)
        self._records.append(data)
        self._bytes += len(data) + _RECORD_BYTES
        if len(kept) > self._max_requests or self._bytes > self._max_bytes:
            self._trim()

    def find(self, request_id: str) -> Kept[T] | None:
        """Return the request of this id that ended last; clients can give several the same."""
        wanted = request_id.encode("utf-8", "surrogatepass")
        stop = len(wanted) + _HEAD_BYTES
        for seq, data, sources in self._newest_first():
            if data.find(wanted, 0, stop) >= 0:
                outcome, trail = self._packing.unpack(data, sources)
                if outcome.request_id == request_id:
                    return Kept(seq, outcome, trail)
        return None

    def newest_first(self, before: int | None = None) -> Iterator[Kept[T]]:
        """Return what is kept, or of that what has a lower number than ``before``."""
        newer = 0 if before is None else max(0, self.seq - before + 1)
        for seq, data, sources in islice(self._newest_first(), newer, None):
            yield Kept(seq, *self._packing.unpack(data, sources))

    def since(self, seq: int, limit: int) -> list[Kept[T]]:
        """Return what ended after number ``seq``, the newest ``limit`` of it, oldest first."""
        found = list(islice(self.newest_first(), min(limit, self.seq - seq)))
        found.reverse()
        return found

    def _newest_first(self) -> Iterator[tuple[int, bytes, S]]:
        # Backwards with iterators: to look a place of a deque up takes as long as it is far.
        return zip(range(self.seq, 0, -1), reversed(self._records), reversed(self._sources), strict=False)

    def _trim(self) -> None:
        records, kept = self._records, self._sources
        while records and (len(records) > self._max_requests or self._bytes > self._max_bytes):
            self._bytes -= len(records.popleft()) + _RECORD_BYTES
            sources = kept.popleft()
            if not kept or kept[0] is not sources:
                self._bytes -= self._packing.weigh(sources)
