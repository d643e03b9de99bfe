from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support.fixtures import fleet, start
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.domain import BackendStatus
from nexus.services.backend_watch import HealthSettings
from nexus.testing import FakeBackend, FakeFleet, Stall
from nexus.testing.faults import Stage

__all__ = ["fleet", "start"]


@asynccontextmanager
async def silent(gateway: RunningGateway, backend: FakeBackend) -> AsyncIterator[None]:
    """The backend takes the next check and does not answer it."""
    backend.always(Stall(stage=Stage.HEAD), probes=True)
    asked = len(backend.requests)
    health, registry = gateway.nexus.health, gateway.nexus.registry
    health.watch(registry.snapshot.backends[backend.name])
    await gateway.until(lambda: len(backend.requests) > asked)
    yield
    backend.clear()


@pytest.fixture
async def one(fleet: FakeFleet) -> FakeBackend:
    return await fleet.add("llamacpp", models=["m"], name="one")


async def test_who_waits_for_a_check_that_is_given_up_waits_no_more(one: FakeBackend, start: Serve) -> None:
    gateway = await start(backend_toml(one))
    health = gateway.nexus.health
    async with silent(gateway, one):
        waiting = asyncio.ensure_future(health.first_round())
        await asyncio.sleep(0)
        assert not waiting.done()
        health.unwatch("one")
        await waiting
        await gateway.until(lambda: one.open_sockets == 0)
    assert not health.watching("one")
    health.unwatch("one")


async def test_watching_anew_ends_the_check_that_runs(one: FakeBackend, start: Serve) -> None:
    gateway = await start(backend_toml(one))
    health = gateway.nexus.health
    async with silent(gateway, one):
        pass
    backend = gateway.nexus.registry.snapshot.backends["one"]
    await health.watch(backend).checked.wait()
    assert len(health._tasks) == 2  # one watch, and the wishes
    assert health.watching("one")


async def test_other_rules_hold_from_now_on(one: FakeBackend, start: Serve) -> None:
    gateway = await start(backend_toml(one) + "[health_check]\nenabled = false\n")
    health, registry = gateway.nexus.health, gateway.nexus.registry
    health.reconfigure(HealthSettings(interval_seconds=0.02, failure_threshold=2), periodic=True)
    await one.stop()
    one.close_idle()
    await gateway.until(lambda: registry.snapshot.backends["one"].status is BackendStatus.UNHEALTHY)
    await one.start()
    await gateway.until(lambda: registry.snapshot.backends["one"].status is BackendStatus.HEALTHY)


async def test_a_wish_for_one_that_is_not_watched_is_ignored(one: FakeBackend, start: Serve) -> None:
    gateway = await start(backend_toml(one))
    health, registry = gateway.nexus.health, gateway.nexus.registry
    health.unwatch("one")
    registry.wish_check("one", "somebody asks")
    await asyncio.sleep(0)
    health.watch(registry.snapshot.backends["one"])
    asked = len(one.requests)
    registry.wish_check("one", "somebody asks again")
    await gateway.until(lambda: len(one.requests) > asked)
