"""Everything of this computer together, down to the bytes: sources, finds, detection, fake servers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.services.discovery.sockets import PATIENCE, free_port
from tests.services.discovery.watching import SteppedClock

from nexus.backends.base import HttpProbe
from nexus.backends.detect import Verdict, detect
from nexus.domain import Backend, BackendSpec, BackendType, DiscoverySource
from nexus.http.client import HttpClient
from nexus.http.resolve import SystemResolver
from nexus.registry.registry import Registry
from nexus.services.discovery.address_watch import Surroundings
from nexus.services.discovery.environment import EnvironmentAddresses, read_environment
from nexus.services.discovery.finds import Finds
from nexus.services.discovery.listeners import listening_sockets
from nexus.services.discovery.local_ports import LocalPorts
from nexus.services.discovery.own_addresses import OwnAddresses
from nexus.services.discovery.peers import Peers
from nexus.services.discovery.tools import FindsSettings, FindsTools
from nexus.tasks import DeadlineWatch, SystemClock, TaskOwner
from nexus.testing import FakeFleet

pytestmark = pytest.mark.timeout(3 * PATIENCE)


class Machine:
    """One computer, as discovery sees it."""

    def __init__(self) -> None:
        self.tasks = TaskOwner("machine")
        self.watch = DeadlineWatch(SystemClock())
        self.client = HttpClient(clock=SystemClock(), watch=self.watch, tasks=self.tasks)
        self.registry = Registry(SystemClock())
        self.own = OwnAddresses()
        self.examined: list[str] = []
        self.changed = asyncio.Event()
        resolver = SystemResolver(self.tasks)
        tools = FindsTools(
            registry=self.registry,
            examine=self.examine,
            register=self.register,
            forget=self.forget,
            clock=SystemClock(),
            tasks=self.tasks,
            resolver=resolver,
            is_self=self.own.is_self,
            is_own=self.own.is_interface,
        )
        self.finds = Finds(tools, FindsSettings(grace_period_seconds=0.05))
        self.clock = SteppedClock()
        self.around = Surroundings(self.finds, self.clock, resolver, self.own.is_self, listening_sockets)

    async def examine(self, spec: BackendSpec) -> Verdict | None:
        self.examined.append(str(spec.origin))
        return await detect(HttpProbe(self.client, spec, PATIENCE))

    def register(self, spec: BackendSpec, verdict: Verdict) -> None:
        self.registry.register(spec, type=verdict.type)
        self.changed.set()

    def forget(self, backend_id: str) -> None:
        self.registry.remove(backend_id)
        self.changed.set()

    @property
    def backends(self) -> list[Backend]:
        return list(self.registry.snapshot.backends.values())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def machine(
    *ports: int, environ: dict[str, str], peers: list[str], own: Sequence[tuple[str, int]] = ()
) -> AsyncIterator[Machine]:
    made = Machine()
    made.own.bind(own)
    sources = (
        LocalPorts(made.around, 60.0, (), ports),
        EnvironmentAddresses(made.around, 60.0, read_environment(environ, is_self=made.own.is_self)),
        Peers(made.around, 60.0, peers),
    )
    try:
        for source in sources:
            await source.start()
        for source in sources:
            await asyncio.wait_for(source.first_round(), PATIENCE)
        await asyncio.wait_for(made.finds.settled(), PATIENCE)
        yield made
    finally:
        for source in sources:
            await source.close()
        made.finds.close()
        await asyncio.wait_for(made.client.close(), PATIENCE)
        await made.tasks.close()
        made.watch.close()
    assert made.client.open_sockets == 0
    assert len(made.tasks) == 0


async def test_one_server_is_one_backend_whoever_names_it() -> None:
    port, other = free_port(), free_port()
    async with FakeFleet() as fleet:
        await fleet.add("ollama", port=port)
        await fleet.add("ollama", host="::1", port=port)
        await fleet.add("vllm", port=other)
        environ = {"OLLAMA_HOST": f"localhost:{port}", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
        peers = [f"127.0.0.1:{port}", f"localhost:{other}"]
        async with machine(port, other, environ=environ, peers=peers) as here:
            assert sorted(backend.type for backend in here.backends) == [BackendType.OLLAMA, BackendType.VLLM]
            assert {backend.spec.source for backend in here.backends} == {DiscoverySource.LOCAL}
            assert all(backend.spec.found_by for backend in here.backends)


async def test_a_server_that_starts_later_is_found_and_one_that_ends_is_forgotten() -> None:
    port = free_port()
    async with FakeFleet() as fleet, machine(port, environ={}, peers=[]) as here:
        assert here.backends == []
        for kind in ("llamacpp", "sglang"):
            server = await fleet.add(kind, port=port)
            await here.clock.look()
            await here.until(lambda: len(here.backends) == 1)
            assert here.backends[0].type == kind
            await server.close()
            await here.clock.look()
            await here.until(lambda: here.backends == [])


async def test_nexus_itself_is_not_even_asked() -> None:
    port = free_port()
    async with FakeFleet() as fleet:
        await fleet.add("generic", port=port)
        environ = {"OLLAMA_HOST": f"localhost:{port}", "OPENAI_BASE_URL": f"http://0.0.0.0:{port}/v1"}
        peers = [f"127.0.0.1:{port}", f"localhost:{port}"]
        async with machine(port, environ=environ, peers=peers, own=[("127.0.0.1", port)]) as here:
            await here.clock.look(3)
            assert here.examined == []
            assert here.backends == []


@pytest.mark.parametrize("environ", [{}, {"OLLAMA_HOST": "127.0.0.1:{port}"}], ids=["port", "environment"])
@pytest.mark.parametrize(
    "unnoticed",
    [
        pytest.param(False, id="seen closed"),
        pytest.param(
            True,
            id="between looks",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens"),
        ),
    ],
)
async def test_a_server_that_takes_the_port_of_a_web_page_is_found(
    environ: dict[str, str], unnoticed: bool
) -> None:
    port = free_port()
    named = {name: value.format(port=port) for name, value in environ.items()}

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(4096):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        writer.close()

    web = await asyncio.start_server(page, "127.0.0.1", port)
    async with FakeFleet() as fleet, machine(port, environ=named, peers=[]) as here:
        sources = 1 + len(named)
        assert here.backends == []
        asked = len(here.examined)
        await here.clock.look(sources)
        assert len(here.examined) == asked
        web.close()
        await web.wait_closed()
        if not unnoticed:
            await here.clock.look(sources)
        await fleet.add("ollama", port=port)
        await here.clock.look(sources)
        await here.until(lambda: len(here.backends) == 1)
