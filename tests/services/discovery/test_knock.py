from __future__ import annotations

import asyncio
import errno
import resource
import socket
import struct
import threading
import time

import pytest
from tests.services.discovery.sockets import (
    PATIENCE,
    address,
    close_all,
    free_port,
    full,
    listener,
    nothing_left,
    open_files,
    pair,
    port_of,
)

from nexus.http.resolve import Address
from nexus.services.discovery.knock import Answer, knock, met_itself


async def test_a_listener_is_open_and_a_free_port_is_closed() -> None:
    four, six = pair()
    port, nobody = port_of(four), free_port()
    asked = [address(host, number) for host in ("127.0.0.1", "::1") for number in (port, nobody)]
    with nothing_left():
        answers = await knock(asked, PATIENCE)
    close_all((four, six))
    assert [answers[a] for a in asked] == [Answer.OPEN, Answer.CLOSED, Answer.OPEN, Answer.CLOSED]


async def test_nothing_is_sent_and_the_connection_is_closed_at_once() -> None:
    with listener() as server:
        await knock([address("127.0.0.1", port_of(server))], PATIENCE)
        server.settimeout(PATIENCE)
        connection, _ = server.accept()
        connection.settimeout(PATIENCE)
        with connection:
            assert connection.recv(1) == b""


async def test_a_server_that_accepts_and_never_speaks_is_open() -> None:
    with listener() as server, nothing_left():
        asked = address("127.0.0.1", port_of(server))
        for _ in range(5):
            assert (await knock([asked], PATIENCE))[asked] is Answer.OPEN


async def test_a_server_that_accepts_and_resets_is_open() -> None:
    with listener() as server:

        def reset() -> None:
            for _ in range(20):
                connection, _ = server.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        asked = address("127.0.0.1", port_of(server))
        with nothing_left():
            for _ in range(20):
                assert await knock([asked], PATIENCE) == {asked: Answer.OPEN}
        thread.join(PATIENCE)


async def test_silence_is_neither_open_nor_closed_and_ends_with_the_time() -> None:
    with full() as port:
        asked = address("127.0.0.1", port)
        began = time.monotonic()
        with nothing_left():
            answers = await knock([asked], 0.1)
        assert answers == {asked: Answer.SILENT}
        assert time.monotonic() - began < PATIENCE


async def test_one_that_is_silent_does_not_hide_the_others() -> None:
    with full() as port, listener() as server:
        asked = [address("127.0.0.1", port), address("127.0.0.1", port_of(server))]
        answers = await knock(asked, 0.3)
    assert [answers[a] for a in asked] == [Answer.SILENT, Answer.OPEN]


async def test_what_happened_in_time_counts_although_the_loop_was_held_up() -> None:
    with listener() as server:
        asked = address("127.0.0.1", port_of(server))
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 0.05)
        answers = await knock([asked], 0.001)
    assert answers[asked] is Answer.OPEN


async def test_hundreds_of_ports_take_few_sockets() -> None:
    servers = [listener() for _ in range(150)]
    asked = [address("127.0.0.1", port_of(server)) for server in servers]
    nobody = [address("127.0.0.1", port) for port in range(1, 251) if port not in {22, 53, 80, 111}]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with nothing_left():
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 20, hard))
        try:
            answers = await knock([*asked, *nobody], PATIENCE, at_once=8)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {answers[a] for a in asked} == {Answer.OPEN}
    assert {answers[a] for a in nobody} <= {Answer.CLOSED, Answer.OPEN}
    close_all(servers)


async def test_without_a_file_to_open_nothing_is_said_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    asked = address("127.0.0.1", free_port())
    with monkeypatch.context() as patch:
        patch.setattr("nexus.services.discovery.knock.socket.socket", refuse)
        answers = await knock([asked], PATIENCE)
    assert answers == {asked: Answer.SILENT}


async def test_a_family_that_this_machine_lacks_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    asked = address("::1", 1)
    with monkeypatch.context() as patch:
        patch.setattr("nexus.services.discovery.knock.socket.socket", refuse)
        answers = await knock([asked], PATIENCE)
    assert answers == {asked: Answer.CLOSED}


async def test_an_address_that_cannot_be_reached_is_silent() -> None:
    # TEST-NET-1 (RFC 5737): no route, or nobody there.
    asked = address("192.0.2.1", 9)
    with nothing_left():
        assert await knock([asked], 0.1) in ({asked: Answer.SILENT}, {asked: Answer.CLOSED})


async def test_cancelled_in_the_middle_it_leaves_nothing() -> None:
    with full() as port, nothing_left():
        asked = [address("127.0.0.1", port), *(address("127.0.0.1", n) for n in range(1, 20))]
        task = asyncio.create_task(knock(asked, PATIENCE))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_asked_twice_is_asked_once() -> None:
    with listener() as server:
        asked = address("127.0.0.1", port_of(server))
        assert await knock([asked, asked], PATIENCE) == {asked: Answer.OPEN}
        server.settimeout(PATIENCE)
        server.accept()[0].close()
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert await knock([], PATIENCE) == {}


def test_a_socket_that_met_itself_is_told_from_one_that_met_a_server() -> None:
    port = free_port()
    with socket.socket() as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(("127.0.0.1", port))
        alone.connect(("127.0.0.1", port))
        assert met_itself(alone)
    with listener() as server, socket.create_connection(server.getsockname()) as client:
        assert not met_itself(client)
    with socket.socket() as unconnected:
        assert not met_itself(unconnected)


async def test_a_port_that_answers_only_because_the_scan_met_itself_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    made = socket.socket

    def bound(family: int, kind: int, protocol: int) -> socket.socket:
        sock = made(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    asked = Address(socket.AF_INET, ("127.0.0.1", port))
    with nothing_left(), monkeypatch.context() as patch:
        patch.setattr("nexus.services.discovery.knock.socket.socket", bound)
        answers = await knock([asked], PATIENCE)
    assert answers == {asked: Answer.CLOSED}
