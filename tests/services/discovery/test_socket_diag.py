from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services.discovery.sockets import close_all, free_port, listener, pair, port_of

from nexus.services.discovery.socket_diag import ask_kernel, parse, request

SOCKET, ERROR, DONE = 20, 2, 3


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    size = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", size, kind, 0, 1, 0) + body + bytes(-len(body) % 4)


def entry(port: int, inode: int) -> bytes:
    return message(SOCKET, bytes(4) + struct.pack("!H", port) + bytes(62) + struct.pack("=I", inode))


def code(value: int) -> bytes:
    return struct.pack("=i", value)


def test_a_reply_may_come_in_parts() -> None:
    assert parse(entry(11434, 7) + entry(80, 8)) == ([(11434, "7"), (80, "8")], True)
    assert parse(entry(81, 9) + message(DONE, code(0))) == ([(81, "9")], False)


def test_other_messages_and_more_attributes_are_passed_over() -> None:
    longer = message(SOCKET, entry(80, 8)[16:] + b"attribute")
    assert parse(message(1, b"") + longer + message(DONE, code(0))) == ([(80, "8")], False)


@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_a_kernel_without_it_says_so(kind: int) -> None:
    with pytest.raises(FileNotFoundError):
        parse(message(kind, code(-errno.ENOENT)))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"short",
        message(SOCKET, bytes(20)),
        message(SOCKET, b"", length=0),
        message(SOCKET, b"", length=15),
        message(SOCKET, bytes(72), length=2**32 - 1),
        message(DONE, b""),
    ],
)
def test_what_is_no_such_reply_is_refused(reply: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(reply)


@given(st.binary(max_size=200))
def test_a_reply_may_hold_anything(reply: bytes) -> None:
    with suppress(OSError, ValueError):
        parse(reply)


def test_the_question_has_the_size_of_its_structures() -> None:
    asked = request(socket.AF_INET)
    assert len(asked) == struct.unpack_from("=I", asked)[0] == 72


@pytest.mark.skipif(sys.platform == "linux", reason="Linux has it")
def test_elsewhere_nobody_tells() -> None:
    with pytest.raises(OSError, match="only Linux"):
        ask_kernel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_numbers_are_those_of_the_sockets() -> None:
    four, six = pair()
    bound = socket.socket()
    bound.bind(("127.0.0.1", free_port()))
    client = socket.create_connection(("127.0.0.1", port_of(four)))
    told = ask_kernel()
    numbers = {str(os.fstat(sock.fileno()).st_ino) for sock in (four, six)}
    assert {number for port, number in told if port == port_of(four)} == numbers
    assert {port for port, _ in told}.isdisjoint({port_of(bound), port_of(client)})
    close_all((four, six, bound, client))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_more_sockets_than_one_part_holds_are_all_told_at_little_cost() -> None:
    servers = [listener() for _ in range(300)]
    try:
        assert {port_of(sock) for sock in servers} <= {port for port, _ in ask_kernel()}
        best = min(_timed() for _ in range(20))
        assert best < 0.02
    finally:
        close_all(servers)


def _timed() -> float:
    began = time.perf_counter()
    ask_kernel()
    return time.perf_counter() - began
