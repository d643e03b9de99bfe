"""How a fake backend comes, goes, refuses and hangs."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import pytest
from tests.testing.wire import Client, ask, chat, raw, request

from nexus.testing import (
    FakeFleet,
    FakeModel,
    Refuse,
    Reset,
    Stage,
    Stall,
)
from nexus.testing.fixtures import parse


async def test_stop_refuses_and_start_comes_back_on_the_same_port() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        url = fake.url
        for _ in range(3):
            await fake.stop()
            with pytest.raises(ConnectionRefusedError):
                await Client.to(fake)
            await fake.start()
            assert (await ask(fake, chat())).status == 200
        assert fake.url == url


async def test_stop_leaves_open_connections_alone() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        client = await Client.to(fake)
        client.send(request(None, "/health", close=False))
        await client.until(b"\r\n\r\n")
        await fake.stop()
        client.send(request(None, "/health"))
        got, end = await client.rest()
        await client.leave()
    assert (parse(got).status, end) == (200, "fin")


async def test_kill_resets_everything() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        fake.next(Stall())
        busy, idle = await Client.to(fake), await Client.to(fake)
        busy.send(request(chat()))
        await fake.wait_for_requests(1)
        await fake.kill()
        assert (await busy.rest(), await idle.rest()) == ((b"", "rst"), (b"", "rst"))
        with pytest.raises(ConnectionRefusedError):
            await Client.to(fake)
        await busy.leave()
        await idle.leave()
        await fake.wait_until_closed()


@pytest.mark.parametrize("rounds", range(6))
async def test_kill_resets_what_is_just_being_accepted(rounds: int) -> None:
    loop = asyncio.get_running_loop()
    troubles: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, trouble: troubles.append(trouble))
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        clients = [socket.create_connection((fake.host, fake.port)) for _ in range(5)]
        for _ in range(rounds):
            await asyncio.sleep(0)
        await fake.kill()
        for client in clients:
            client.settimeout(0)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(loop.sock_recv(client, 1), 5)
            client.close()
        await fake.wait_until_closed()
    assert not troubles


async def test_connecting_can_hang() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        await fake.ignore_connects()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.open_connection(fake.host, fake.port)
        await fake.start()
        assert (await ask(fake, chat())).status == 200


async def test_idle_connections_can_be_closed() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        fake.next(Stall())
        busy, idle = await Client.to(fake), await Client.to(fake)
        busy.send(request(chat()))
        await fake.wait_for_requests(1)
        fake.close_idle()
        assert await idle.rest() == (b"", "fin")
        assert fake.in_flight == 1
        await busy.leave()
        await idle.leave()


async def test_refuse_closes_the_listener_until_it_may_open_again() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        until = asyncio.Event()
        fake.next(Refuse(until))
        assert await raw(fake, request(chat())) == (b"", "rst")
        with pytest.raises(ConnectionRefusedError):
            await Client.to(fake)
        until.set()
        await fake.start()
        assert (await ask(fake, chat())).status == 200


async def test_models_can_change() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["a"])
        fake.set_models(["b", FakeModel("c")])
        listed = json.loads((await ask(fake, None, "/v1/models")).body)
        assert [row["id"] for row in listed["data"]] == ["b", "c"]
        assert (await ask(fake, chat("a"))).status == 404
        assert [model.id for model in fake.models] == ["b", "c"]


async def test_ipv6_and_an_unknown_kind() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("generic", models=["m"], host="::1")
        assert fake.url.startswith("http://[::1]:")
        assert (await ask(fake, chat())).status == 200
        with pytest.raises(ValueError, match="no fake of kind 'teapot'"):
            await fleet.add("teapot")


async def test_a_fleet_leaves_nothing_behind() -> None:
    before = len(asyncio.all_tasks())
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        fake.always(Stall())
        clients = [await Client.to(fake) for _ in range(5)]
        for client in clients:
            client.send(request(chat()))
        await fake.wait_for_requests(5)
    assert fleet.open_sockets == 0
    for client in clients:
        await client.leave()
    assert len(asyncio.all_tasks()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")
def test_the_fleet_works_on_uvloop() -> None:
    import uvloop  # noqa: PLC0415 - not on every platform

    async def visit() -> None:
        async with FakeFleet() as fleet:
            fake = await fleet.add("vllm", models=["m"])
            assert (await ask(fake, chat())).status == 200
            fake.next(Reset(Stage.HEAD, 10))
            assert await raw(fake, request(chat())) == (b"HTTP/1.1 2", "rst")
            fake.next(Stall(Stage.ACCEPT))
            client = await Client.to(fake)
            client.send(request(chat()))
            await fake.wait_until(lambda: fake.served["Stall"] == 1, "the stall")
            assert fake.in_flight == 0
            await fake.kill()
            with pytest.raises(ConnectionRefusedError):
                await Client.to(fake)
            await client.leave()
            await fake.start()
            assert (await ask(fake, chat(stream=True))).status == 200

    uvloop.run(visit())
