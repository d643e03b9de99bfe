"""Three gateways that find each other by real mDNS on loopback, each with a server of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.support.client import RawReply
from tests.support.fixtures import fleet
from tests.support.gateway import RunningGateway, backend_toml, serve
from tests.support.multicast import own_service_type
from zeroconf.asyncio import AsyncZeroconf

from nexus.backends.detect import Verdict
from nexus.config.schema import DiscoveryConfig
from nexus.domain import BackendSpec, BackendType
from nexus.registry import Candidate
from nexus.server.compose import Nexus
from nexus.services.advertise import Advertiser, Announcement
from nexus.services.discovery.own_addresses import OwnAddresses
from nexus.services.discovery.service import Discovery, DiscoveryTools
from nexus.tasks import SystemClock
from nexus.testing import FakeBackend, FakeFleet, FakeModel

__all__ = ["fleet"]

pytestmark = pytest.mark.timeout(300)

LOOPBACK = "127.0.0.1"
NAMES = ("a", "b", "c")
QUICK = 0.25


class OnLoopback(Advertiser):
    """Announces the one address that nobody should announce, for a network inside this computer."""

    def _addresses(self) -> tuple[str, ...]:
        return (LOOPBACK,)


class Triangle:
    """Gateways ``a``, ``b`` and ``c``; each has the model of its name and ``shared``.

    Attributes:
        gateways, servers: by name.
    """

    def __init__(self, gateways: dict[str, RunningGateway], servers: dict[str, FakeBackend]) -> None:
        self.gateways = gateways
        self.servers = servers

    def id_of(self, name: str) -> str:
        return self.gateways[name].nexus.gateway_id

    def candidates(self, gateway: str, model: str) -> list[Candidate]:
        index = self.gateways[gateway].nexus.registry.snapshot.index
        return [candidate for candidate in index.get(model, ()) if candidate.in_rotation]

    def ways(self, gateway: str, model: str) -> set[tuple[str, ...]]:
        """By names: the gateways on each way to a model."""
        names = {self.id_of(name): name for name in NAMES}
        return {tuple(names[i] for i in found.model.via) for found in self.candidates(gateway, model)}

    def all_ways(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, gateway in self.gateways.items():
            for model in gateway.nexus.registry.snapshot.index:
                for way in self.ways(name, model):
                    yield name, way

    async def until_settled(self) -> None:
        """Wait until every gateway knows every way that there is."""
        for gateway in NAMES:
            others = [name for name in NAMES if name != gateway]
            for model in NAMES:
                rest = [name for name in others if name != model]
                wanted = {()} if gateway == model else {(model,), *((name, model) for name in rest)}
                await self.until(lambda g=gateway, m=model, w=wanted: self.ways(g, m) == w)
            shortest = {(), *((name,) for name in others)}
            await self.until(lambda g=gateway, s=shortest: self.ways(g, "shared") == s)

    async def until(self, condition: object) -> None:
        assert callable(condition)
        await self.gateways["a"].until(condition, 120.0)

    def statuses(self) -> list[int]:
        return [outcome.status for gateway in self.gateways.values() for outcome in gateway.outcomes]

    def chats(self, name: str) -> int:
        return sum(bool(request.surface) for request in self.servers[name].requests)


def who(reply: RawReply, *, stream: bool) -> str:
    """What a server of the fleet says names it."""
    if not stream:
        return str(reply.json["choices"][0]["message"]["content"])
    *events, end = reply.events
    assert end == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)


def neighbourhood(nexus: Nexus, service_type: str) -> tuple[Discovery, Advertiser]:
    """What the composition root makes, on the loopback interface and with a service type of its own."""

    def register(spec: BackendSpec, verdict: Verdict) -> None:
        nexus.fleet.put(spec, verdict.type)

    discovery = Discovery(
        DiscoveryConfig(probe_local=False, service_types=(service_type,), allow=("127.0.0.0/8",)),
        DiscoveryTools(
            registry=nexus.registry,
            examine=nexus.fleet.examine,
            register=register,
            forget=nexus.fleet.forget_found,
            clock=SystemClock(),
            environ={},
            gateway_id=nexus.gateway_id,
            own=OwnAddresses(),
            ports=(),
            interfaces=(LOOPBACK,),
        ),
    )
    advertiser = OnLoopback(
        Announcement("triangle", nexus.gateway_id, nexus.port),
        [LOOPBACK],
        clock=SystemClock(),
        open_zeroconf=lambda: AsyncZeroconf(interfaces=[LOOPBACK]),
        service_type=service_type,
    )
    return discovery, advertiser


@asynccontextmanager
async def triangle(fleet: FakeFleet, folder: Path, interval: float) -> AsyncIterator[Triangle]:
    service_type = own_service_type()
    servers = {
        name: await fleet.add("vllm", models=[FakeModel(name), FakeModel("shared")], name=f"server-{name}")
        for name in NAMES
    }
    async with AsyncExitStack() as stack:
        gateways = {}
        for name in NAMES:
            (folder / name).mkdir()
            checks = f"[health_check]\ninterval_seconds = {interval}\nrecovery_threshold = 1\n"
            toml = checks + backend_toml(servers[name])
            gateways[name] = await stack.enter_async_context(serve(toml, folder / name))
            discovery, advertiser = neighbourhood(gateways[name].nexus, service_type)
            stack.push_async_callback(advertiser.close)
            stack.push_async_callback(discovery.close)
            await discovery.start([(LOOPBACK, gateways[name].nexus.port)])
            advertiser.start()
        yield Triangle(gateways, servers)


@pytest.fixture
async def quick(fleet: FakeFleet, tmp_path: Path) -> AsyncIterator[Triangle]:
    async with triangle(fleet, tmp_path, QUICK) as made:
        await made.until_settled()
        yield made


async def test_each_sees_the_models_of_the_others_and_nothing_comes_back(quick: Triangle) -> None:
    for name, gateway in quick.gateways.items():
        rows = (await gateway.get("/v1/models")).json["data"]
        assert {row["id"] for row in rows if row["available"]} == {*NAMES, "shared"}
        types = [backend.type for backend in gateway.nexus.registry.snapshot.backends.values()]
        assert sorted(types) == sorted([BackendType.VLLM, BackendType.NEXUS, BackendType.NEXUS])
        for model in NAMES:
            for stream in (False, True):
                reply = await gateway.chat(model, stream=stream)
                assert (reply.status, reply.complete) == (200, True)
                assert who(reply, stream=stream) == f"server-{model} answers as {model}: all is well here."
        assert not [way for own, way in quick.all_ways() if own == name and name in way]
    assert [quick.chats(name) for name in NAMES] == [6, 6, 6]
    for server in quick.servers.values():
        for request in server.requests:
            passed = (request.header("x-nexus-via") or "").split(", ")
            assert len(set(passed)) == len(passed) <= len(NAMES)
    assert set(quick.statuses()) == {200}


async def test_a_model_whose_server_is_gone_is_gone_everywhere_and_stays_gone(quick: Triangle) -> None:
    await quick.servers["a"].kill()
    await quick.until(lambda: not any(quick.candidates(name, "a") for name in NAMES))
    # Nobody may have it again from a neighbour that has not heard yet.
    asked = {name: len(quick.servers[name].requests) for name in ("b", "c")}
    while any(len(quick.servers[name].requests) < asked[name] + 16 for name in asked):
        assert not any(quick.candidates(name, "a") for name in NAMES)
        await asyncio.sleep(QUICK / 5)
    for name in NAMES:
        reply = await quick.gateways[name].chat("a")
        assert reply.status in (404, 503)
        assert (await quick.gateways[name].chat("b")).status == 200
    assert 508 not in quick.statuses()
    await quick.servers["a"].start()
    await quick.until_settled()


async def test_requests_fail_over_through_neighbours(quick: Triangle) -> None:
    await quick.servers["a"].kill()
    for name in NAMES:
        for _ in range(4):
            reply = await quick.gateways[name].chat("shared")
            assert (reply.status, reply.complete) == (200, True)
    await quick.servers["b"].kill()
    for name in NAMES:
        for stream in (False, True):
            reply = await quick.gateways[name].chat("shared", stream=stream)
            assert reply.status == 200
            assert who(reply, stream=stream).startswith("server-c answers")
    assert 508 not in quick.statuses()


async def test_no_request_runs_in_a_circle_while_nobody_has_heard_yet(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    async with triangle(fleet, tmp_path, QUICK) as made:
        await made.until_settled()
        for gateway in made.gateways.values():
            await gateway.nexus.health.close()
        for server in made.servers.values():
            await server.kill()
        before = len(made.statuses())
        replies = []
        for name in NAMES:
            for model in (*NAMES, "shared"):
                replies += [await made.gateways[name].chat(model) for _ in range(3)]
        assert {reply.status for reply in replies} <= {502, 503}
        statuses = made.statuses()[before:]
        assert 508 not in statuses
        # At most: one asks two, and each of them the other one.
        assert len(statuses) <= 5 * len(replies)
        for gateway in made.gateways.values():
            await gateway.until(gateway.at_rest)
