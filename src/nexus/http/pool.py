"""Connections that rest between exchanges, and the bound on how many exchanges run.

No I/O here: the pool decides, connections close themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Protocol, TypeVar

from nexus.domain import Origin


class Poolable(Protocol):
    """What the pool needs of a connection."""

    origin: Origin
    deadline: float

    def end(self, error: BaseException | None) -> None:
        """Close it; it calls :meth:`Pool.discard`."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Poolable)


class Pool(Generic[ConnectionT]):
    """Idle connections per origin, the latest first: the others grow old and are let go."""

    __slots__ = ("_idle",)

    def __init__(self) -> None:
        self._idle: dict[Origin, list[ConnectionT]] = {}

    def take(self, origin: Origin, now: float) -> ConnectionT | None:
        """Return the connection that came last, or ``None``.

        Args:
            origin: the server, TLS options included.
            now: monotonic seconds; what is past its deadline is closed, not returned.
        """
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.deadline > now:
                return connection
            connection.end(None)
        return None

    def put(self, connection: ConnectionT) -> None:
        """Keep ``connection`` until it is taken, or closes."""
        idle = self._idle.get(connection.origin)
        if idle is None:
            self._idle[connection.origin] = [connection]
        else:
            idle.append(connection)

    def discard(self, connection: ConnectionT) -> None:
        """Forget ``connection`` if it rests here."""
        idle = self._idle.get(connection.origin)
        if idle is None:
            return
        if connection in idle:
            idle.remove(connection)
        if not idle:
            del self._idle[connection.origin]

    def idle(self, origin: Origin) -> int:
        """How many connections to ``origin`` rest."""
        return len(self._idle.get(origin, ()))

    def drop(self, origin: Origin) -> None:
        """Close every connection to ``origin`` that rests."""
        for connection in self._idle.pop(origin, ()):
            connection.end(None)

    def close(self) -> None:
        """Close every resting connection."""
        for origin in list(self._idle):
            self.drop(origin)


class Places:
    """At most ``limit`` exchanges per origin, the others wait in order.

    Each open connection belongs to an exchange or rests, and a new one is made only when none
    rests: so this bounds connections too.
    """

    __slots__ = ("_limit", "_taken", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[Origin, int] = {}
        self._waiting: dict[Origin, deque[asyncio.Future[None]]] = {}

    async def acquire(self, origin: Origin) -> None:
        """Take a place, waiting for one if need be."""
        taken = self._taken.get(origin, 0)
        if taken < self._limit:
            self._taken[origin] = taken + 1
            return
        place = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(origin, deque())
        queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release(origin)
            elif place in queue:
                queue.remove(place)
            raise

    def release(self, origin: Origin) -> None:
        """Give a place back: to the one who has waited longest, if anyone waits."""
        queue = self._waiting.get(origin)
        while queue:
            place = queue.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._waiting.pop(origin, None)
        left = self._taken[origin] - 1
        if left:
            self._taken[origin] = left
        else:
            del self._taken[origin]
