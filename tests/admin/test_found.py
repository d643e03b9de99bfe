"""Backends that were found, and what may be done to them."""

from __future__ import annotations

import asyncio

from tests.admin.asking import Admin
from tests.support.gateway import RunningGateway, Serve

from nexus.testing import FakeBackend, FakeFleet, FakeModel, Stall
from nexus.testing.faults import Stage


async def found(start: Serve, backend: FakeBackend) -> tuple[RunningGateway, str]:
    """Start a gateway that has found one backend; return it and the backend's id."""
    gateway = await start(
        f'[discovery]\nprobe_local = false\nservice_types = []\npeers = ["127.0.0.1:{backend.port}"]\n'
    )
    await gateway.until(lambda: [view.status for view in gateway.nexus.registry.views()] == ["healthy"])
    return gateway, gateway.nexus.registry.views()[0].id


async def test_a_found_one_is_changed_for_now_and_not_deleted(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway, found_id = await found(start, backend)
    admin = Admin(gateway)
    reply = await admin.patch(found_id, priority=3, drain=True)
    assert (reply.status, reply.json["source"], reply.json["draining"]) == (200, "peer", True)
    assert "finds the backend anew" in reply.json["note"]
    reply = await admin.delete(found_id)
    assert (reply.status, reply.error["code"]) == (409, "conflict")
    assert "found again" in reply.error["message"]
    assert (await admin.check(found_id)).json["check"]["status"] == "healthy"


async def test_a_found_one_gives_its_name_to_another_server_that_is_added(
    fleet: FakeFleet, start: Serve
) -> None:
    one, two = await fleet.add("vllm", models=[FakeModel("m")]), await fleet.add("vllm")
    gateway, found_id = await found(start, one)
    admin = Admin(gateway)
    assert (await admin.list())["vllm"]["id"] == found_id
    reply = await admin.add(url=two.url, name=found_id)
    assert (reply.status, reply.error["code"]) == (409, "conflict")
    reply = await admin.add(url=two.url, name="vllm")
    assert reply.status == 201, reply.body
    shown = {(view["name"], view["source"]) for view in (await admin.list()).values()}
    assert shown == {("vllm", "manual"), ("vllm-2", "peer")}


async def test_a_found_one_that_wants_a_key_says_how_to_give_it_one(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], key="secret")
    gateway = await start(
        f'[discovery]\nprobe_local = false\nservice_types = []\npeers = ["127.0.0.1:{backend.port}"]\n'
    )
    await gateway.until(lambda: [view.status for view in gateway.nexus.registry.views()] == ["unauthorized"])
    (view,) = gateway.nexus.registry.views()
    assert view.reason.endswith(f"nexus backends add {backend.url} --api-key-env NAME")


async def test_a_found_one_gives_way_to_the_same_server_added(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway, _ = await found(start, backend)
    admin = Admin(gateway)
    for fields in ({"name": "mine"}, {}):
        reply = await admin.add(url=backend.url, **fields)
        assert reply.status == 201, reply.body
        name = reply.json["name"]
        await gateway.until(lambda: len(gateway.nexus.registry.views()) == 1)
        assert {view["source"] for view in (await admin.list()).values()} == {"manual"}
        assert (await gateway.chat()).status == 200
        assert (await admin.delete(name)).status == 200
        await gateway.until(lambda: [view.source for view in gateway.nexus.registry.views()] == ["peer"])


async def test_a_server_is_found_again_once_its_added_backend_has_drained(
    fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway, _ = await found(start, backend)
    admin = Admin(gateway)
    assert (await admin.add(url=backend.url, name="mine")).status == 201
    gate = asyncio.Event()
    backend.next(Stall(stage=Stage.HEAD, release=gate))
    running = asyncio.ensure_future(gateway.chat())
    await gateway.until(lambda: gateway.nexus.registry.in_flight("mine") == 1)
    assert (await admin.delete("mine?drain=true")).status == 202
    assert (await gateway.chat()).status == 503
    gate.set()
    assert (await running).status == 200
    up = [("peer", "healthy")]
    await gateway.until(lambda: [(view.source, view.status) for view in gateway.nexus.registry.views()] == up)
    assert (await gateway.chat()).status == 200
