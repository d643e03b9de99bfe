"""Addresses of the host names that people configured, so that a server is known by any of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Final

from nexus.http.resolve import Address, Resolver
from nexus.tasks import Clock, TaskOwner

LOOKUP_SECONDS: Final = 2.0
FRESH_SECONDS: Final = 60.0
MAX_NAMES: Final = 1024


class HostResolver:
    """Asks for each host once, whatever the number of its ports.

    A name server that does not answer holds a thread for each look-up; a dozen ports of one dead
    name would leave none for the names of backends.

    Args:
        resolver: shares what is asked at the same time.
    """

    __slots__ = ("_resolver",)

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """See ``Resolver.resolve``."""
        found = await self._resolver.resolve(host, 0)
        return [Address(address.family, (address.target[0], port, *address.target[2:])) for address in found]


class Lookups:
    """Remembers what names resolve to; a name that fails keeps its last addresses.

    Args:
        resolver: asks the name servers.
        clock: the time.
        tasks: owns look-ups, which outlast a caller that does not wait for them.
    """

    __slots__ = ("_asked_at", "_clock", "_known", "_resolver", "_tasks")

    def __init__(self, resolver: Resolver, clock: Clock, tasks: TaskOwner) -> None:
        self._resolver = resolver
        self._clock = clock
        self._tasks = tasks
        self._known: dict[str, tuple[str, ...]] = {}
        self._asked_at: dict[str, float] = {}

    def known(self, name: str) -> tuple[str, ...]:
        """Return the addresses of ``name`` as last resolved, sorted; empty before that."""
        return self._known.get(name, ())

    async def refresh(self, names: Iterable[str]) -> set[str]:
        """Resolve ``names`` that were not resolved lately, at most ``LOOKUP_SECONDS`` long.

        Returns:
            Those whose addresses have changed.
        """
        now = self._clock.now()
        stale = [name for name in names if self._asked_at.get(name, -math.inf) + FRESH_SECONDS <= now]
        if not stale:
            return set()
        before = {name: self.known(name) for name in stale}
        for name in stale:
            self._asked_at[name] = now
        jobs = [self._tasks.spawn(self._look_up(name), f"look up {name}") for name in stale]
        await asyncio.wait(jobs, timeout=LOOKUP_SECONDS)
        self._trim()
        return {name for name in stale if self.known(name) != before[name]}

    async def _look_up(self, name: str) -> None:
        try:
            found = await self._resolver.resolve(name, 0)
        except OSError:
            return
        self._known[name] = tuple(sorted({str(address.target[0]) for address in found}))

    def _trim(self) -> None:
        for name in list(self._asked_at)[: max(0, len(self._asked_at) - MAX_NAMES)]:
            del self._asked_at[name]
            self._known.pop(name, None)
