"""Addresses: order, look-ups off the loop, and the race between them."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from tests.http.peers import bench, deaf, on_both_loops, peer, replies, sockets, until

from nexus.domain import Origin
from nexus.errors import ConnectRefused, ConnectTimeout
from nexus.http.client import Timeouts
from nexus.http.resolve import Address, SystemResolver, interleave
from nexus.tasks import TaskOwner

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def v4(host: str, port: int = 1) -> Address:
    return Address(socket.AF_INET, (host, port))


def v6(host: str, port: int = 1) -> Address:
    return Address(socket.AF_INET6, (host, port, 0, 0))


class Fixed:
    """A resolver with one answer."""

    def __init__(self, *addresses: Address, error: OSError | None = None) -> None:
        self.addresses = addresses
        self.error = error
        self.asked: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append((host, port))
        if self.error is not None:
            raise self.error
        return self.addresses


def refusing() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_families_take_turns_ipv6_first_without_repeats() -> None:
    given = [v4("a"), v4("b"), v4("a"), v4("c"), v6("x"), v6("y")]
    assert interleave(given) == [v6("x"), v4("a"), v6("y"), v4("b"), v4("c")]
    assert interleave([]) == []


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", v4("127.0.0.1", 80)), ("::1", v6("::1", 80))])
async def test_an_address_needs_no_thread(host: str, expected: Address) -> None:
    tasks = TaskOwner("test")
    assert await SystemResolver(tasks).resolve(host, 80) == [expected]
    assert len(tasks) == 0


@on_both_loops
async def test_a_name_is_looked_up() -> None:
    tasks = TaskOwner("test")
    found = await SystemResolver(tasks).resolve("localhost", 80)
    assert {address.target[0] for address in found} <= {"127.0.0.1", "::1"}
    await tasks.close()


async def test_callers_share_a_look_up_and_survive_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    answer = asyncio.Event()

    async def slow(host: str, port: int, **_: int) -> list[tuple[object, ...]]:
        calls.append(host)
        await answer.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow)
    tasks = TaskOwner("test")
    resolver = SystemResolver(tasks)
    callers = [asyncio.create_task(resolver.resolve("slow.example", 80)) for _ in range(5)]
    await until(lambda: bool(calls))
    callers[0].cancel()
    answer.set()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [[v4("192.0.2.1", 80)]] * 4
    assert calls == ["slow.example"]
    await resolver.resolve("slow.example", 80)
    assert len(calls) == 2
    await tasks.close()


@on_both_loops
@pytest.mark.parametrize("host", ["no-such-name.invalid", "x" * 70 + ".invalid", "a..b"])
async def test_a_name_without_addresses_is_refused(host: str) -> None:
    async with bench() as b:
        with pytest.raises(ConnectRefused):
            await b.post(Origin("http", host, 80))
        await until(lambda: len(b.tasks) == 0)


@on_both_loops
async def test_no_address_at_all_is_refused() -> None:
    async with bench(resolver=Fixed()) as b:
        with pytest.raises(ConnectRefused, match="no address"):
            await b.post(Origin("http", "name", 80))


@on_both_loops
async def test_ipv6() -> None:
    async with peer(replies(OK), host="::1") as server, bench() as b:
        assert (await b.post(server.origin)).body == b"{}"
        assert f"Host: [::1]:{server.port}".encode() in server.callers[0].requests[0]


@on_both_loops
async def test_refused_only_when_all_refused() -> None:
    dead = refusing()
    async with peer(replies(OK)) as server:
        found = Fixed(v6("::1", dead), v4("127.0.0.1", dead), v4("127.0.0.1", server.port))
        async with bench(resolver=found) as b:
            assert (await b.post(Origin("http", "name", 80))).body == b"{}"
            assert b.client.open_sockets == 1
    async with bench(resolver=Fixed(v6("::1", dead), v4("127.0.0.1", dead))) as b:
        with pytest.raises(ConnectRefused) as raised:
            await b.post(Origin("http", "name", 80))
        assert isinstance(raised.value.__cause__, OSError)
        assert b.client.open_sockets == 0


@on_both_loops
async def test_the_next_address_is_tried_beside_a_silent_one_and_the_loser_closed() -> None:
    async with peer(replies(OK)) as server:
        with deaf() as silent:
            found = Fixed(v4("127.0.0.1", silent.port), v4("127.0.0.1", server.port))
            async with bench(resolver=found) as b:
                started = asyncio.get_running_loop().time()
                assert (await b.post(Origin("http", "name", 80))).body == b"{}"
                assert 0.2 < asyncio.get_running_loop().time() - started < 5
                assert b.client.open_sockets == 1


@on_both_loops
async def test_silence_of_one_address_is_a_timeout_not_a_refusal() -> None:
    with deaf() as silent:
        found = Fixed(v4("127.0.0.1", refusing()), v4("127.0.0.1", silent.port))
        async with bench(resolver=found) as b:
            before = sockets()
            with pytest.raises(ConnectTimeout):
                await b.post(Origin("http", "name", 80), timeouts=Timeouts(connect=0.1))
            assert (b.client.open_sockets, sockets()) == (0, before)


@on_both_loops
async def test_cancelling_a_race_closes_every_runner() -> None:
    with deaf() as silent:
        async with bench(resolver=Fixed(*[v4("127.0.0.1", silent.port)], v4("127.0.0.2", silent.port))) as b:
            running = asyncio.create_task(b.post(Origin("http", "name", 80)))
            await until(lambda: b.client.open_sockets >= 1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert b.client.open_sockets == 0


@on_both_loops
async def test_a_machine_out_of_files_does_not_blame_the_backend() -> None:
    async with bench(resolver=Fixed(v4("127.0.0.1", 1))) as b:
        with no_more_files(), pytest.raises(ConnectTimeout, match="Too many open files"):
            await b.post(Origin("http", "name", 80))


@contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@on_both_loops
async def test_a_dead_name_does_not_outlast_the_connect_time() -> None:
    class Never(Fixed):
        async def resolve(self, host: str, port: int) -> Sequence[Address]:
            await asyncio.Event().wait()
            return await super().resolve(host, port)

    async with bench(resolver=Never()) as b:
        with pytest.raises(ConnectTimeout):
            await b.post(Origin("http", "name", 80), timeouts=Timeouts(connect=0.05))


@pytest.mark.parametrize("metadata", ["169.254.169.254", "100.100.100.200"])
async def test_a_name_that_comes_to_lead_to_metadata_is_not_connected_to(metadata: str) -> None:
    """DNS rebinding: the name was harmless when somebody gave it."""
    async with peer(replies(OK, OK)) as server:
        resolver = Fixed(v4("127.0.0.1", server.port))
        async with bench(resolver=resolver) as b:
            origin = Origin("http", "rebound.example", server.port)
            assert (await b.post(origin)).body == b"{}"
            b.client.close_idle(origin)
            resolver.addresses = (v4("127.0.0.1", server.port), v4(metadata, server.port))
            with pytest.raises(ConnectRefused, match="metadata"):
                await b.post(origin)
            assert b.client.open_sockets == 0
        assert len(server.callers) == 1


async def test_no_proxy_is_asked_for_metadata() -> None:
    async with peer(replies(OK)) as proxy, bench(environ={"HTTPS_PROXY": str(proxy.origin)}) as b:
        with pytest.raises(ConnectRefused, match="metadata"):
            await b.post(Origin("https", "169.254.169.254", 443))
        assert proxy.callers == []
