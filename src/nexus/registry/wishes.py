"""What the request path wants from the health service: check this, refresh that."""

from __future__ import annotations

import asyncio

import msgspec


class Wish(msgspec.Struct, frozen=True):
    """One backend wants attention.

    Attributes:
        backend_id: which.
        refresh: its model list is stale.
        reason: the newest, for the log.
    """

    backend_id: str
    refresh: bool
    reason: str


class Wishes:
    """A queue in which a backend stands at most once, however many requests ask."""

    __slots__ = ("_there", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[str, Wish] = {}
        self._there = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, backend_id: str, reason: str, *, refresh: bool) -> None:
        """Add a wish, or merge it into the one that waits."""
        waiting = self._waiting.get(backend_id)
        refresh = refresh or (waiting is not None and waiting.refresh)
        self._waiting[backend_id] = Wish(backend_id, refresh, reason)
        self._there.set()

    def forget(self, backend_id: str) -> None:
        """Drop what waits for a backend that is gone."""
        self._waiting.pop(backend_id, None)

    async def get(self) -> Wish:
        """Wait for the oldest wish and take it. For one consumer."""
        while not self._waiting:
            self._there.clear()
            await self._there.wait()
        return self._waiting.pop(next(iter(self._waiting)))
