"""What the tests of sources share: a record of reports, time that is stepped, names that are scripted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from tests.services.discovery.sockets import PATIENCE, address, nothing_left

from nexus.http.resolve import Address, Resolver
from nexus.services.discovery.address_watch import Listeners, Surroundings
from nexus.services.discovery.listen_watch import CHECK_SECONDS
from nexus.services.discovery.sightings import Sighting
from nexus.tasks import SystemClock


class Record:
    """Sightings, as they were reported."""

    def __init__(self) -> None:
        self.reports: list[Sighting | str] = []
        self.now: dict[str, Sighting] = {}

    def seen(self, sighting: Sighting) -> None:
        self.reports.append(sighting)
        self.now[sighting.key] = sighting

    def gone(self, key: str) -> None:
        self.reports.append(key)
        del self.now[key]

    def places(self, key: str) -> tuple[tuple[str, int], ...]:
        return self.now[key].addresses


class SteppedClock(SystemClock):
    """Sleeps until a test lets it pass; the checks of who listens are stepped on their own."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._sleepers: dict[asyncio.Future[None], float] = {}
        self._asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = seconds
        self._asleep.set()
        try:
            await sleeper
        finally:
            self._sleepers.pop(sleeper, None)

    async def resting(self, count: int = 1) -> None:
        """Wait until ``count`` looks are over."""
        await self._until(count, checks=False)

    async def look(self, count: int = 1) -> None:
        """Let every sleeper look again, and wait until all sleep."""
        await self._step(count, checks=False)

    async def check(self) -> None:
        """Let the check of who listens be made, and wait until it is over."""
        await self._step(1, checks=True)

    def _asleep_now(self, *, checks: bool) -> list[asyncio.Future[None]]:
        return [
            one
            for one, seconds in self._sleepers.items()
            if (seconds == CHECK_SECONDS) is checks and not one.done()
        ]

    async def _until(self, count: int, *, checks: bool) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self._asleep_now(checks=checks)) < count:
                self._asleep.clear()
                await self._asleep.wait()

    async def _step(self, count: int, *, checks: bool) -> None:
        await self._until(count, checks=checks)
        for sleeper in self._asleep_now(checks=checks):
            del self._sleepers[sleeper]
            sleeper.set_result(None)
        await self._until(count, checks=checks)


class Names:
    """A resolver of scripted answers: addresses, an error, or silence until :meth:`answer`."""

    def __init__(self, **names: Sequence[str] | OSError | None) -> None:
        self.names = names
        self.asked: list[str] = []
        self._answered = asyncio.Event()

    def answer(self, **names: Sequence[str] | OSError) -> None:
        self.names.update(names)
        self._answered.set()

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        try:
            return [address(host, port)]
        except socket.gaierror:
            pass
        while (found := self.names.get(host, socket.gaierror(socket.EAI_NONAME, "unknown"))) is None:
            self._answered.clear()
            await self._answered.wait()
        if isinstance(found, OSError):
            raise found
        return [address(known, port) for known in found]


class Source(Protocol):
    async def start(self) -> None: ...
    async def first_round(self) -> None: ...
    async def close(self) -> None: ...


class Bench:
    """Everything around one source."""

    def __init__(self) -> None:
        self.record = Record()
        self.clock = SteppedClock()
        self.names = Names()
        self.own: set[tuple[str, int]] = set()
        self.listeners: dict[int, frozenset[str]] | None = None

    def around(self, resolver: Resolver | None = None) -> Surroundings:
        return Surroundings(
            sightings=self.record,
            clock=self.clock,
            resolver=resolver or self.names,
            is_self=lambda host, port: (host, port) in self.own,
            listeners=self._listeners,
        )

    def _listeners(self) -> Listeners | None:
        return None if self.listeners is None else dict(self.listeners)


@asynccontextmanager
async def running(make: Callable[[Bench], Source], bench: Bench | None = None) -> AsyncIterator[Bench]:
    """Start a source, wait for its first look, and see at the end that it leaves nothing behind."""
    bench = bench or Bench()
    with nothing_left():
        source = make(bench)
        await source.start()
        try:
            await asyncio.wait_for(source.first_round(), PATIENCE)
            yield bench
        finally:
            await asyncio.wait_for(source.close(), PATIENCE)
