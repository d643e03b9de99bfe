"""Backends that drain, leave or are changed while requests run."""

from __future__ import annotations

import asyncio

from tests.admin.asking import Admin
from tests.support.gateway import RunningGateway, Serve, backend_toml, chat_body

from nexus.testing import FakeFleet, FakeModel


async def begin_stream(gateway: RunningGateway, seen: list[bytes]) -> asyncio.Task[None]:
    """Start a slow stream and return once its first byte is there."""
    begun = asyncio.Event()

    async def stream() -> None:
        async with gateway.client() as client:
            client.send("POST", "/v1/chat/completions", chat_body(stream=True))
            await client.read_reply(until=1)
            begun.set()
            reply = await client.read_reply()
            assert (reply.status, reply.complete) == (200, True)
            seen.append(reply.body)

    task = asyncio.create_task(stream())
    async with asyncio.timeout(20):
        await begun.wait()
    return task


async def test_a_draining_backend_finishes_what_runs_and_takes_nothing_new(
    fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    admin = Admin(gateway)
    backend.pace = 0.05
    seen: list[bytes] = []
    task = await begin_stream(gateway, seen)
    reply = await admin.patch(backend.name, drain=True)
    assert (reply.json["draining"], reply.json["in_flight"]) == (True, 1)
    refused = await gateway.chat()
    assert refused.status == 503
    assert refused.error["context"]["rejections"][0]["code"] == "draining"
    await task
    assert b"[DONE]" in seen[0]
    assert (await admin.list())[backend.name]["in_flight"] == 0
    reply = await admin.patch(backend.name, enabled=True)
    assert reply.json["draining"] is False
    assert (await gateway.chat()).status == 200


async def test_enabled_is_the_opposite_of_drain(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    admin = Admin(await start(backend_toml(backend)))
    assert (await admin.patch(backend.name, enabled=False)).json["draining"] is True
    assert (await admin.patch(backend.name, priority=9)).json["draining"] is True
    assert (await admin.patch(backend.name, drain=False, enabled=True)).json["draining"] is False
    reply = await admin.patch(backend.name, drain=True, enabled=True)
    assert (reply.status, reply.error["param"]) == (400, "enabled")
    for fields in (
        {"drain": 1},
        {"enabled": "yes"},
        {"drain": None},
        {"draining": True},
        {"url": "http://x"},
    ):
        assert (await admin.patch(backend.name, **fields)).status == 400
    assert (await admin.list())[backend.name]["draining"] is False


async def test_a_backend_leaves_when_its_last_request_has_ended(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start("")
    admin = Admin(gateway)
    await admin.add(url=backend.url, name="a")
    backend.pace = 0.05
    seen: list[bytes] = []
    task = await begin_stream(gateway, seen)
    reply = await gateway.request("DELETE", "/admin/backends/a?drain=true")
    assert (reply.status, reply.json["deleted"], reply.json["leaving"]) == (202, False, True)
    assert (reply.json["draining"], reply.json["in_flight"]) == (True, 1)
    assert (await admin.patch("a", enabled=True)).status == 409
    assert (await admin.add(url=backend.url, name="a")).status == 409
    assert (await gateway.request("DELETE", "/admin/backends/a?drain=true")).status == 202
    await task
    assert b"[DONE]" in seen[0]
    await gateway.until(lambda: gateway.nexus.registry.views() == ())


async def test_a_backend_that_is_removed_at_once_cuts_nothing(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start("")
    admin = Admin(gateway)
    await admin.add(url=backend.url, name="a")
    backend.pace = 0.05
    seen: list[bytes] = []
    task = await begin_stream(gateway, seen)
    reply = await admin.delete("a")
    assert (reply.status, reply.json["deleted"], reply.json["in_flight"]) == (200, True, 1)
    assert await admin.list() == {}
    await task
    assert b"[DONE]" in seen[0]
    await gateway.until(gateway.at_rest)


async def test_everything_at_once_loses_no_request(fleet: FakeFleet, start: Serve) -> None:
    steady = await fleet.add("llamacpp", models=[FakeModel("m")])
    other = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start(backend_toml(steady))
    admin = Admin(gateway)
    over = False

    async def chats() -> int:
        number = 0
        while not over:
            reply = await gateway.chat(stream=number % 2 == 0)
            assert (reply.status, reply.complete) == (200, True), reply.body
            number += 1
        return number

    async def changes() -> None:
        for _ in range(8):
            assert (await admin.add(url=other.url, name="o")).status == 201
            await asyncio.gather(
                admin.patch("o", priority=1),
                admin.patch("o", drain=True),
                admin.check("o"),
                admin.delete("o"),
            )
            await gateway.until(lambda: len(gateway.nexus.registry.views()) == 1)

    clients = [asyncio.create_task(chats()) for _ in range(3)]
    await changes()
    over = True
    assert sum(await asyncio.gather(*clients)) > 0
    await gateway.until(gateway.at_rest)
    assert "Traceback" not in gateway.log.read_text()
