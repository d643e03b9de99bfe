from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.config.load import Loaded
from nexus.config.schema import Config, DiscoveryConfig
from nexus.domain import BackendStatus, DiscoverySource, replace
from nexus.server.finder import Finder
from nexus.testing import FakeBackend, FakeFleet, Stall
from nexus.testing.faults import Stage

QUIET = DiscoveryConfig(service_types=(), probe_seconds=0.05, grace_period_seconds=0.05)
Finding = Callable[..., "Found"]


class Found:
    """A finder beside a running gateway whose own discovery is off."""

    def __init__(self, gateway: RunningGateway, finder: Finder) -> None:
        self.gateway = gateway
        self.finder = finder

    async def follow(self, config: DiscoveryConfig) -> None:
        await self.finder.follow(Loaded(config=Config(discovery=config)))

    async def first(self) -> None:
        await self.finder.first_round()
        await self.gateway.nexus.health.first_round()

    def names(self) -> list[str]:
        return [backend.name for backend in self.gateway.nexus.registry.snapshot.backends.values()]


@asynccontextmanager
async def finding(gateway: RunningGateway, *backends: FakeBackend) -> AsyncIterator[Found]:
    nexus = gateway.nexus
    finder = Finder(
        nexus.registry,
        nexus.fleet,
        clock=nexus._clock,
        environ={},
        gateway_id=nexus.gateway_id,
        ports=[backend.port for backend in backends],
    )
    finder.bind([("127.0.0.1", nexus.port)])
    try:
        yield Found(gateway, finder)
    finally:
        await finder.close()


async def test_what_runs_here_is_found_and_served(fleet: FakeFleet, start: Serve) -> None:
    one, two = await fleet.add("ollama", models=["m"]), await fleet.add("llamacpp", models=["n"])
    gateway = await start("")
    async with finding(gateway, one, two) as found:
        await found.follow(QUIET)
        await found.first()
        assert sorted(found.names()) == ["llamacpp", "ollama"]
        for backend in gateway.nexus.registry.snapshot.backends.values():
            assert backend.spec.source is DiscoverySource.LOCAL
            assert backend.spec.found_by.startswith("port ")
        assert [(await gateway.chat(model)).status for model in "mn"] == [200, 200]


async def test_other_settings_lose_no_backend(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=["m"])
    gateway = await start("")
    registry = gateway.nexus.registry
    seen: list[BackendStatus] = []
    async with finding(gateway, one) as found:
        await found.follow(QUIET)
        await found.first()
        (before,) = registry.snapshot.backends.values()
        gateway.nexus.fleet.put(replace(before.spec, priority=7))
        registry.subscribe(lambda _, backend: seen.append(backend.status))
        await found.follow(replace(QUIET, probe_seconds=0.04))
        assert found.names() == ["ollama"]
        await found.first()
        await gateway.until(lambda: not found.finder._left)
        (after,) = registry.snapshot.backends.values()
        assert (after.id, after.name, after.spec.priority) == (before.id, "ollama", 7)
        assert (await gateway.chat()).status == 200
    assert seen == []


async def test_what_is_not_found_again_goes_after_the_grace_period(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=["m"])
    gateway = await start("")
    async with finding(gateway, one) as found:
        await found.follow(QUIET)
        await found.first()
        await found.follow(replace(QUIET, probe_local=False))
        assert found.names() == ["ollama"]
        await gateway.until(lambda: found.names() == [])


async def test_switched_off_it_forgets_what_it_found(fleet: FakeFleet, start: Serve) -> None:
    one, named = await fleet.add("ollama", models=["m"]), await fleet.add("vllm", models=["n"])
    gateway = await start(backend_toml(named))
    async with finding(gateway, one) as found:
        await found.follow(QUIET)
        await found.first()
        assert found.names() == [named.name, "ollama"]
        await found.follow(replace(QUIET, enabled=False))
        assert found.names() == [named.name]
        await found.follow(QUIET)
        await found.first()
        assert found.names() == [named.name, "ollama"]


async def test_one_that_somebody_configures_is_one_backend(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=["m"])
    gateway = await start("")
    nexus = gateway.nexus
    async with finding(gateway, one) as found:
        await found.follow(QUIET)
        await found.first()
        (spec,) = (backend.spec for backend in nexus.registry.snapshot.backends.values())
        mine = replace(spec, id="mine", name="mine", source=DiscoverySource.STATIC)
        nexus.fleet.put(mine)
        await gateway.until(lambda: found.names() == ["mine"])
        nexus.fleet.remove("mine")
        await gateway.until(lambda: found.names() == ["ollama"])


async def test_only_what_concerns_finding_begins_it_anew(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=["m"])
    gateway = await start("")
    async with finding(gateway, one) as found:
        await found.follow(QUIET)
        discovery = found.finder._discovery
        await found.follow(replace(QUIET, open=True))
        assert found.finder._discovery is discovery


@pytest.mark.parametrize("probes", [True, False])
async def test_ending_while_it_looks_leaves_nothing(fleet: FakeFleet, start: Serve, *, probes: bool) -> None:
    one = await fleet.add("ollama", models=["m"])
    one.always(Stall(stage=Stage.HEAD), probes=probes)
    gateway = await start("")
    async with finding(gateway, one) as found:
        await found.follow(QUIET)
        if probes:
            await gateway.until(lambda: bool(one.requests))
    await gateway.until(lambda: one.in_flight == 0)
    before = len(one.requests)
    await asyncio.sleep(0)
    assert len(one.requests) == before
