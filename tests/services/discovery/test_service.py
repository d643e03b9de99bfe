from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.services.discovery.sockets import free_port
from tests.support.multicast import HANGING_SECONDS, HERE, Lan, announce, announcing, lan

from nexus.backends.detect import Verdict
from nexus.config.schema import DiscoveryConfig
from nexus.domain import Backend, BackendSpec, BackendType, DiscoverySource, Origin, replace
from nexus.registry.registry import Registry
from nexus.services.discovery import service as module
from nexus.services.discovery.mdns import WAY_ROUND
from nexus.services.discovery.service import Discovery, DiscoveryTools
from nexus.services.discovery.sightings import Sighting
from nexus.tasks import SystemClock

__all__ = ["lan"]

pytestmark = pytest.mark.timeout(3 * HANGING_SECONDS)


class Place:
    """A discovery over real sockets; whether a port serves is scripted."""

    def __init__(self, config: DiscoveryConfig, environ: Mapping[str, str], ports: Sequence[int]) -> None:
        self.clock = SystemClock()
        self.registry = Registry(self.clock)
        self.examined: list[int] = []
        self.slow = asyncio.Event()
        self.slow.set()
        self.changed = asyncio.Event()
        tools = DiscoveryTools(
            registry=self.registry,
            examine=self.examine,
            register=self.register,
            forget=self.forget,
            clock=self.clock,
            environ=environ,
            gateway_id="me",
            ports=ports,
            interfaces=HERE,
        )
        self.discovery = Discovery(config, tools)
        finds = self.discovery._finds
        seen = finds.seen

        def noticed(sighting: Sighting) -> None:
            seen(sighting)
            self.changed.set()

        finds.seen = noticed  # type: ignore[method-assign]  # a test watches

    async def examine(self, spec: BackendSpec) -> Verdict | None:
        self.examined.append(spec.origin.port)
        await self.slow.wait()
        try:
            _, writer = await asyncio.open_connection(spec.origin.host, spec.origin.port)
        except OSError:
            return None
        writer.close()
        return Verdict(BackendType.OLLAMA, "it accepts")

    def register(self, spec: BackendSpec, verdict: Verdict) -> None:
        self.registry.register(spec, type=verdict.type)
        self.changed.set()

    def forget(self, backend_id: str) -> None:
        self.registry.remove(backend_id)
        self.changed.set()

    def found(self) -> list[Backend]:
        backends = self.registry.snapshot.backends.values()
        return [backend for backend in backends if backend.spec.source is not DiscoverySource.STATIC]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGING_SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def discovering(
    config: DiscoveryConfig,
    *,
    environ: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
    listening: Sequence[tuple[str, int]] = (),
    configured: Sequence[int] = (),
) -> AsyncIterator[Place]:
    place = Place(config, environ or {}, ports)
    for port in configured:
        place.registry.register(
            BackendSpec(f"mine {port}", f"mine {port}", Origin("http", "127.0.0.1", port))
        )
    await place.discovery.start(listening)
    try:
        yield place
    finally:
        await place.discovery.close()
        # Owned tasks have a name; the others are the servers' own.
        assert [task for task in asyncio.all_tasks() if ":" in task.get_name()] == []


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[int]]:
    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    made = [await asyncio.start_server(accept, "127.0.0.1", 0) for _ in range(count)]
    try:
        yield [server.sockets[0].getsockname()[1] for server in made]
    finally:
        for server in made:
            server.close()
            await server.wait_closed()


LOOPBACK = ("127.0.0.0/8",)
QUIET = DiscoveryConfig(service_types=())


async def test_the_first_round_finds_what_runs_here_and_not_this_nexus() -> None:
    async with servers(3) as (one, two, own):
        environ = {"OLLAMA_HOST": f"127.0.0.1:{two}", "OPENAI_BASE_URL": f"http://localhost:{own}/v1"}
        ports = [one, own, free_port()]
        async with discovering(QUIET, environ=environ, ports=ports, listening=[("127.0.0.1", own)]) as place:
            await place.discovery.first_round()
            assert {backend.spec.origin.port for backend in place.found()} == {one, two}
            assert {backend.spec.found_by for backend in place.found()} == {
                f"port {one} on this computer",
                "OLLAMA_HOST",
            }
            assert own not in place.examined
            assert {backend.name for backend in place.found()} == {"ollama", "ollama-2"}


async def test_one_server_named_by_everything_is_one_backend(lan: Lan) -> None:
    async with servers(1) as (port,):
        config = DiscoveryConfig(
            service_types=(lan.llm,), peers=(f"localhost:{port}", f"127.0.0.1:{port}"), allow=LOOPBACK
        )
        environ = {"OLLAMA_HOST": f"0.0.0.0:{port}", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}"}
        async with (
            announcing() as announcer,
            discovering(config, environ=environ, ports=[port]) as place,
        ):
            await announce(announcer, lan.service("Box", port, id="a"), lan.service("Box 2", port, id="a"))
            await place.until(lambda: len(place.discovery._finds) == 7)
            await place.discovery._finds.settled()
            assert len(place.found()) == 1


async def test_an_announced_server_is_found_and_this_gateways_own_announcement_is_not(lan: Lan) -> None:
    async with servers(2) as (other, own), announcing() as announcer:
        config = DiscoveryConfig(service_types=(lan.llm,), allow=LOOPBACK)
        async with discovering(config, listening=[("127.0.0.1", own)]) as place:
            await announce(
                announcer, lan.service("Me", own, id="me"), lan.service("Other", other, id="o", type="vllm")
            )
            await place.until(lambda: bool(place.found()))
            (backend,) = place.found()
            assert (backend.name, backend.type) == ("Other", BackendType.OLLAMA)
            assert backend.spec.found_by == f"mDNS 'Other' ({lan.llm.removesuffix('.local.')})"
            assert place.discovery.warnings == ()


async def test_what_is_configured_is_left_alone_until_it_is_removed() -> None:
    async with servers(1) as (port,), discovering(QUIET, ports=[port], configured=[port]) as place:
        await place.discovery.first_round()
        assert place.found() == []
        assert place.examined == []
        place.registry.remove(f"mine {port}")
        place.discovery.claims_changed()
        await place.until(lambda: bool(place.found()))


async def test_a_slow_server_delays_the_first_round_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_ROUND_SECONDS", 0.2)
    async with servers(1) as (port,), discovering(QUIET, ports=[port]) as place:
        place.slow.clear()
        began = asyncio.get_running_loop().time()
        await place.discovery.first_round()
        assert 0.1 < asyncio.get_running_loop().time() - began < 5
        assert place.found() == []
        place.slow.set()
        await place.until(lambda: bool(place.found()))


async def test_cloud_keys_are_mentioned_and_never_used() -> None:
    async with discovering(QUIET, environ={"OPENAI_API_KEY": "sk-secret"}) as place:
        await place.discovery.first_round()
        (mention,) = place.discovery.mentions
        assert "OPENAI_API_KEY" in mention.text
        assert 'api_key_env = "OPENAI_API_KEY"' in mention.toml
        assert "sk-secret" not in repr(mention)
        assert place.found() == []


async def test_parts_can_be_switched_off() -> None:
    async with servers(1) as (port,):
        environ = {"OLLAMA_HOST": f"127.0.0.1:{port}"}
        off = replace(QUIET, enabled=False)
        async with discovering(off, environ=environ, ports=[port]) as place:
            await place.discovery.first_round()
            place.discovery.claims_changed()
            assert (place.examined, place.discovery.mentions, place.discovery.warnings) == ([], (), ())
        unprobed = replace(QUIET, probe_local=False)
        async with discovering(unprobed, environ=environ, ports=[port]) as place:
            await place.discovery.first_round()
            assert place.examined == []


async def test_bad_types_are_in_the_warnings() -> None:
    config = DiscoveryConfig(service_types=("_this-is-far-too-long._tcp.local",))
    async with discovering(config) as place:
        mdns = place.discovery._mdns
        assert mdns is not None
        async with asyncio.timeout(HANGING_SECONDS):
            await mdns.started.wait()
        assert len(place.discovery.warnings) == 1


async def test_behind_a_containers_bridge_there_is_one_warning_with_the_way_round(
    lan: Lan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "bridge_gateway", lambda: "172.17.0.1")
    async with discovering(DiscoveryConfig(service_types=(lan.llm,))) as place:
        (warning,) = place.discovery.warnings
        assert WAY_ROUND in warning
        assert [record.message for record in caplog.records] == [warning]
    async with discovering(QUIET) as place:
        assert place.discovery.warnings == ()


async def test_closing_at_any_moment_leaves_nothing(lan: Lan) -> None:
    rng = random.Random(4)
    async with servers(3) as ports:
        for _ in range(15):
            config = DiscoveryConfig(service_types=(lan.llm,), peers=(f"localhost:{ports[0]}",))
            async with discovering(config, ports=ports):
                for _ in range(rng.randrange(60)):
                    await asyncio.sleep(0)
