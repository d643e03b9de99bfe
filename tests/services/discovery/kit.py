"""A world of scripted servers, and time that moves when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.backends.detect import Verdict
from nexus.domain import BackendSpec, BackendStatus, BackendType, DiscoverySource, Model, Origin
from nexus.http.resolve import Address
from nexus.registry.registry import Registry
from nexus.services.discovery.finds import Finds
from nexus.services.discovery.places import Network
from nexus.services.discovery.sightings import Sighting
from nexus.services.discovery.tools import FindsSettings, FindsTools
from nexus.tasks import TaskOwner

SERVES = Verdict(BackendType.OLLAMA, "it says so")
REFUSED = Verdict(BackendType.GENERIC, "a web page", serves=False)


class FakeClock:
    """Stands still until it is moved; who sleeps wakes in the order of time."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, next(self._numbers), future))
        await future

    @property
    def sleepers(self) -> int:
        return sum(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move on, letting everything that becomes due run at its own time."""
        end = self.time + seconds
        await turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self.time = max(self.time, at)
            future.set_result(None)
            await turns()
        self.time = end
        await turns()


async def turns(count: int = 12) -> None:
    """Let the loop run until everything that waits for nothing outside of it has run."""
    for _ in range(count):
        await asyncio.sleep(0)


class FakeResolver:
    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        await asyncio.sleep(0)
        if host not in self.names:
            raise OSError(f"no address for {host}")
        return [Address(2, (address, port)) for address in self.names[host]]


class World:
    """Finds over scripted servers.

    ``servers`` maps (host, port) to what an examination there says; nobody answers elsewhere.
    """

    def __init__(
        self, *, grace: float = 60.0, most: int = 64, allow: tuple[Network, ...] = (), own: Sequence[str] = ()
    ) -> None:
        self.clock = FakeClock()
        self.registry = Registry(self.clock)
        self.servers: dict[tuple[str, int], Verdict] = {}
        self.roots: dict[tuple[str, int], str] = {}
        self.examined: list[str] = []
        self.registered: list[BackendSpec] = []
        self.forgotten: list[str] = []
        self.nexus: set[tuple[str, int]] = set()
        self.own = set(own)
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.tasks = TaskOwner("finds")
        self.resolver = FakeResolver()
        tools = FindsTools(
            registry=self.registry,
            examine=self.examine,
            register=self.register,
            forget=self.forget,
            clock=self.clock,
            tasks=self.tasks,
            resolver=self.resolver,
            is_self=lambda host, port: (host, port) in self.nexus,
            is_own=lambda host: host in self.own,
        )
        self.finds = Finds(tools, FindsSettings(grace_period_seconds=grace, allow=allow, max_backends=most))

    async def examine(self, spec: BackendSpec) -> Verdict | None:
        self.examined.append(f"{spec.origin}{spec.api_root}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.at_once -= 1
        at = (spec.origin.host, spec.origin.port)
        if at in self.servers and self.roots.get(at, spec.api_root) != spec.api_root:
            return REFUSED
        return self.servers.get(at)

    def register(self, spec: BackendSpec, verdict: Verdict) -> None:
        self.registered.append(spec)
        self.registry.register(spec, type=verdict.type)
        self.registry.update(spec.id, status=BackendStatus.HEALTHY, models=(Model("m", "m"),))

    def forget(self, backend_id: str) -> None:
        self.forgotten.append(backend_id)
        self.registry.remove(backend_id)

    def configure(
        self, name: str, host: str, port: int, source: DiscoverySource = DiscoverySource.STATIC
    ) -> None:
        self.registry.register(BackendSpec(name, name, Origin("http", host, port), source=source))
        self.finds.claims_changed()

    def unconfigure(self, name: str) -> None:
        self.registry.remove(name)
        self.finds.claims_changed()

    def serve(self, host: str, port: int, verdict: Verdict = SERVES) -> None:
        self.servers[host, port] = verdict

    def found(self) -> list[BackendSpec]:
        """What discovery has added, in order of registration."""
        sources = (DiscoverySource.LOCAL, DiscoverySource.PEER, DiscoverySource.MDNS)
        backends = self.registry.snapshot.backends.values()
        return [backend.spec for backend in backends if backend.spec.source in sources]

    def urls(self) -> list[str]:
        return sorted(str(spec.origin) for spec in self.found())

    def names(self) -> list[str]:
        return sorted(spec.name for spec in self.found())

    async def see(self, *sightings: Sighting) -> None:
        for sighting in sightings:
            self.finds.seen(sighting)
        await self.settle()

    async def settle(self) -> None:
        async with asyncio.timeout(60):
            await self.finds.settled()
        await turns()


@asynccontextmanager
async def world(
    *, grace: float = 60.0, most: int = 64, allow: tuple[Network, ...] = (), own: Sequence[str] = ()
) -> AsyncIterator[World]:
    made = World(grace=grace, most=most, allow=allow, own=own)
    try:
        yield made
    finally:
        made.finds.close()
        await made.tasks.close()
    assert len(made.tasks) == 0


def mdns(instance: str, *hosts: str, port: int = 8000, server_id: str = "", path: str = "") -> Sighting:
    return Sighting(
        key=f"mdns:{instance}._llm._tcp.local.",
        source=DiscoverySource.MDNS,
        found_by=f"mDNS '{instance}' (_llm._tcp)",
        addresses=tuple((host, port) for host in hosts),
        name=instance,
        server_id=server_id,
        path=path,
    )


def local(port: int, host: str = "127.0.0.1") -> Sighting:
    return Sighting(
        key=f"port:{host}:{port}",
        source=DiscoverySource.LOCAL,
        found_by=f"port {port} on this computer",
        addresses=((host, port),),
    )


def variable(host: str, port: int = 8000) -> Sighting:
    return Sighting(
        key="env:OLLAMA_HOST",
        source=DiscoverySource.LOCAL,
        found_by="OLLAMA_HOST",
        addresses=((host, port),),
    )


def peer(host: str, port: int = 8000) -> Sighting:
    return Sighting(
        key=f"peer:{host}:{port}",
        source=DiscoverySource.PEER,
        found_by=f"peer {host}:{port}",
        addresses=((host, port),),
    )
