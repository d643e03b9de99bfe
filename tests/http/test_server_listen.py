"""Listening: addresses, TLS, and running out of open files."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl

import pytest
import trustme
from tests.http.server_kit import connect, get, post, serve, until

from nexus.http import accept
from nexus.http.limits import ServerLimits, raise_open_files


async def test_tls_serves_bodies_and_leaves_nothing() -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    limits = ServerLimits(body_bytes=300_000)
    async with serve(tls=server_context, limits=limits) as front:
        async with connect(front, client_context) as client:
            assert (await client.ask(post(b"x" * 200_000))).json["body"] == "x" * 200_000
            assert (await client.ask(get("/again"))).json["path"] == "/again"
            answer = await client.ask(post(b"x" * 400_000))
            assert (answer.status, answer.code) == (413, "request_too_large")
        await front.settled()
        async with connect(front) as plain:
            await plain.send(get())
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await plain.answer()
        await front.settled()


async def test_ipv6() -> None:
    async with serve(host="::1") as front, connect(front) as client:
        assert (await client.ask(get())).status == 200
        assert front.app.handled[0].peer == "::1"


async def test_every_address_of_a_name_gets_the_same_port() -> None:
    listeners = await accept.bind("localhost", 0, 16)
    try:
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
    finally:
        for listener in listeners:
            listener.close()


async def test_a_taken_port_is_an_error() -> None:
    async with serve() as front:
        with pytest.raises(OSError) as caught:  # noqa: PT011  # told apart by its number
            await front.server.listen(*front.address)
        assert caught.value.errno == errno.EADDRINUSE


async def test_after_stop_listening_open_connections_go_on_and_new_ones_are_refused() -> None:
    async with serve() as front, connect(front) as client:
        assert (await client.ask(get())).status == 200
        front.server.stop_listening()
        assert (await client.ask(get())).status == 200
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*front.address)


class Exhausted(socket.socket):
    """A listening socket of a process that has no open files left, for a while."""

    failures = 2

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_running_out_of_open_files_is_one_line_a_second_and_clients_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accept, "_REST_SECONDS", 0.01)
    monkeypatch.setattr(socket, "socket", Exhausted)
    async with serve() as front:
        clients = [await asyncio.open_connection(*front.address) for _ in range(20)]
        await until(lambda: front.server.connections == 20)
        for _reader, writer in clients:
            writer.close()
        await front.settled()
    lines = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == 2
    assert "Too many open files" in lines[0].getMessage()
    assert lines[0].exc_info is None


async def test_opening_that_is_cancelled_leaves_nothing() -> None:
    async with serve() as front:
        for turns in range(4):
            reader, writer = await asyncio.open_connection(*front.address)
            await until(lambda: len(front.tasks) > 0 or front.server.connections > 0)
            for _ in range(turns):
                await asyncio.sleep(0)
            await front.tasks.close()
            front.server.abort_all()
            assert await reader.read() == b""
            writer.close()
            await front.settled()


def test_the_limit_of_open_files_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    limits = [256, 4096]

    def setrlimit(_which: int, pair: tuple[int, int]) -> None:
        limits[:] = pair

    monkeypatch.setattr(resource, "getrlimit", lambda _which: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert raise_open_files() == 4096
    assert limits == [4096, 4096]
    assert raise_open_files() == 4096


def test_a_system_that_refuses_the_hard_limit_keeps_the_soft_one(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")

    def refuse(_which: int, _pair: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_open_files() == 256
