from __future__ import annotations

import asyncio

import pytest
from tests.support.client import RawReply
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.domain import BackendSpec, BackendStatus, BackendType, DiscoverySource, Origin, replace
from nexus.testing import FakeBackend, FakeFleet, Stall
from nexus.testing.faults import Stage


def spec_of(backend: FakeBackend, **fields: object) -> BackendSpec:
    spec = BackendSpec(
        backend.name,
        backend.name,
        Origin("http", backend.host, backend.port),
        source=DiscoverySource.MANUAL,
    )
    return replace(spec, **fields)


def is_up(gateway: RunningGateway, name: str) -> bool:
    backend = gateway.nexus.registry.get(name)
    return backend is not None and backend.status is BackendStatus.HEALTHY


async def held(gateway: RunningGateway, backend: FakeBackend, gate: asyncio.Event) -> asyncio.Task[RawReply]:
    """A request that its backend has taken and answers when the gate opens."""
    backend.next(Stall(stage=Stage.HEAD, release=gate))
    task = asyncio.ensure_future(gateway.chat())
    await gateway.until(lambda: gateway.nexus.registry.in_flight(backend.name) == 1)
    return task


async def test_one_that_is_added_is_checked_and_used_at_once(fleet: FakeFleet, start: Serve) -> None:
    gateway = await start("")
    assert (await gateway.chat()).status == 404
    late = await fleet.add("ollama", models=["m"])
    gateway.nexus.fleet.put(spec_of(late))
    await gateway.until(lambda: is_up(gateway, late.name))
    assert (await gateway.chat()).header("x-nexus-backend") == late.name
    backend = gateway.nexus.registry.get(late.name)
    assert backend is not None
    assert backend.type is BackendType.OLLAMA


async def test_what_was_looked_at_serves_from_the_moment_it_is_registered(
    fleet: FakeFleet, start: Serve
) -> None:
    gateway = await start("")
    late = await fleet.add("vllm", models=["m"])
    look = await gateway.nexus.fleet.look(spec_of(late))
    assert look is not None
    gateway.nexus.fleet.put(spec_of(late), look=look)
    assert is_up(gateway, late.name)
    assert [candidate.model.id for candidate in gateway.nexus.registry.by_model("m")] == ["m"]


async def test_nobody_there_is_no_look_and_no_harm(fleet: FakeFleet, start: Serve) -> None:
    gateway = await start("")
    dead = await fleet.add("vllm", models=["m"])
    await dead.stop()
    look = await gateway.nexus.fleet.look(spec_of(dead))
    gateway.nexus.fleet.put(spec_of(dead), look=look)
    await gateway.until(lambda: "refused" in gateway.nexus.registry.snapshot.backends[dead.name].reason)


async def test_a_removed_one_ends_its_requests_first(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gateway = await start(backend_toml(one))
    gate = asyncio.Event()
    running = await held(gateway, one, gate)
    assert gateway.nexus.fleet.remove(one.name)
    assert gateway.nexus.fleet.leaving(one.name)
    view = gateway.nexus.registry.views()[0]
    assert (view.draining, view.in_flight) == (True, 1)
    assert (await gateway.chat()).status == 503
    gate.set()
    assert (await running).status == 200
    await gateway.until(lambda: gateway.nexus.registry.get(one.name) is None)
    assert not gateway.nexus.health.watching(one.name)
    assert gateway.nexus.client.idle(Origin("http", one.host, one.port)) == 0
    assert not gateway.nexus.fleet.leaving(one.name)


async def test_one_that_comes_back_while_it_leaves_stays(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gateway = await start(backend_toml(one))
    gate = asyncio.Event()
    running = await held(gateway, one, gate)
    spec = gateway.nexus.registry.snapshot.backends[one.name].spec
    gateway.nexus.fleet.remove(one.name)
    gateway.nexus.fleet.put(spec)
    assert (await gateway.chat()).status == 200
    gate.set()
    assert (await running).status == 200
    assert not gateway.nexus.fleet.leaving(one.name)
    assert is_up(gateway, one.name)


async def test_without_a_drain_it_is_gone_and_its_request_ends_as_usual(
    fleet: FakeFleet, start: Serve
) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gateway = await start(backend_toml(one))
    gate = asyncio.Event()
    running = await held(gateway, one, gate)
    gateway.nexus.fleet.remove(one.name, drain=False)
    assert gateway.nexus.registry.get(one.name) is None
    assert not gateway.nexus.fleet.remove(one.name)
    gate.set()
    assert (await running).status == 200


async def test_a_new_address_is_another_server(fleet: FakeFleet, start: Serve) -> None:
    first = await fleet.add("ollama", models=["m"], name="first")
    second = await fleet.add("vllm", models=["n"], name="second")
    gateway = await start("")
    gateway.nexus.fleet.put(spec_of(first, id="x", name="x"))
    await gateway.until(lambda: is_up(gateway, "x"))
    assert (await gateway.chat()).status == 200
    gateway.nexus.fleet.put(spec_of(second, id="x", name="x"))
    await gateway.until(lambda: bool(gateway.nexus.registry.by_model("n")))
    backend = gateway.nexus.registry.snapshot.backends["x"]
    assert backend.type is BackendType.VLLM
    assert gateway.nexus.registry.by_model("m") == ()
    assert gateway.nexus.client.idle(Origin("http", first.host, first.port)) == 0
    asked = len(first.requests)
    await gateway.nexus.fleet.check("x")
    assert len(first.requests) == asked


async def test_what_no_check_depends_on_changes_without_one(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gateway = await start(backend_toml(one))
    before = gateway.nexus.registry.snapshot.backends[one.name]
    asked = len(one.requests)
    gateway.nexus.fleet.put(replace(before.spec, priority=1))
    after = gateway.nexus.registry.snapshot.backends[one.name]
    assert after == replace(before, spec=after.spec)
    assert after.spec.priority == 1
    await asyncio.sleep(0)
    assert len(one.requests) == asked


async def test_an_operators_drain_survives_a_new_address(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    other = await fleet.add("llamacpp", models=["m"])
    gateway = await start(backend_toml(one))
    assert gateway.nexus.fleet.drain(one.name, draining=True)
    gateway.nexus.fleet.put(spec_of(other, id=one.name, name=one.name))
    await gateway.until(lambda: is_up(gateway, one.name))
    assert (await gateway.chat()).status == 503
    assert gateway.nexus.fleet.drain(one.name, draining=False)
    assert (await gateway.chat()).status == 200
    assert not gateway.nexus.fleet.drain("nobody", draining=True)


async def test_a_check_asks_now_and_from_scratch(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=["m"])
    gateway = await start("")
    gateway.nexus.fleet.put(spec_of(one))
    await gateway.until(lambda: is_up(gateway, one.name))
    one.set_models(["other"])
    backend = await gateway.nexus.fleet.check(one.name)
    assert backend is not None
    assert [model.id for model in backend.models] == ["other"]
    assert await gateway.nexus.fleet.check("nobody") is None


async def test_what_discovery_forgets_is_only_what_discovery_found(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=["m"])
    gateway = await start("")
    found = spec_of(one, source=DiscoverySource.LOCAL)
    gateway.nexus.fleet.put(found, BackendType.OLLAMA)
    gateway.nexus.fleet.put(replace(found, source=DiscoverySource.STATIC))
    gateway.nexus.fleet.forget_found(one.name)
    assert gateway.nexus.registry.get(one.name) is not None
    gateway.nexus.fleet.put(found, BackendType.OLLAMA)
    gateway.nexus.fleet.forget_found(one.name)
    assert gateway.nexus.registry.get(one.name) is None


@pytest.mark.parametrize("drain", [True, False])
async def test_what_came_and_went_leaves_nothing(fleet: FakeFleet, start: Serve, drain: bool) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gateway = await start("")
    nexus = gateway.nexus
    for number in range(20):
        name = f"b{number}"
        nexus.fleet.put(spec_of(one, id=name, name=name))
        await gateway.until(lambda name=name: is_up(gateway, name))  # type: ignore[misc]
        assert (await gateway.chat()).status == 200
        nexus.fleet.remove(name, drain=drain)
    await gateway.until(lambda: not nexus.registry.snapshot.backends)
    assert nexus.registry.snapshot.index == {}
    assert not any(nexus.dispatcher._targets._targets.values())
    assert nexus.health._watches == {}
    await gateway.until(lambda: nexus.client.open_sockets == 0)


async def test_closing_while_one_leaves_ends(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gateway = await start(backend_toml(one))
    running = await held(gateway, one, asyncio.Event())
    gateway.nexus.fleet.remove(one.name)
    await gateway.nexus.close()
    assert (await running).status == 503
