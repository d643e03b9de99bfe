"""Real listeners and what a test counts around them."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nexus.http.resolve import Address

PATIENCE = 60.0
_BLOCK = 400


def listener(host: str = "127.0.0.1", port: int = 0, backlog: int = 64) -> socket.socket:
    """A listener, on a :func:`free_port` by default: where it has closed, nobody else listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port or free_port()))
    sock.listen(backlog)
    return sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def pair() -> tuple[socket.socket, socket.socket]:
    """Two listeners on one port: IPv4 and IPv6 loopback."""
    while True:
        four = listener()
        try:
            return four, listener("::1", port_of(four))
        except OSError:
            four.close()


class Ports:
    """Ports that no other test process takes, below those that connections begin from.

    Who holds the first one, which is bound and never listens, has them all.
    """

    def __init__(self) -> None:
        self._claim = socket.socket()
        atexit.register(self._claim.close)
        for first in range(20_000, 32_000, _BLOCK):
            try:
                self._claim.bind(("127.0.0.1", first))
            except OSError:
                continue
            self._ports = itertools.cycle(range(first + 1, first + _BLOCK))
            return
        raise AssertionError("all ports are claimed")

    def free(self) -> int:
        for port in itertools.islice(self._ports, _BLOCK):
            try:
                listener("127.0.0.1", port).close()
                listener("::1", port).close()
            except OSError:
                continue
            return port
        raise AssertionError("no free port")


_PORTS = Ports()


def free_port() -> int:
    """A port where nobody listens, another one at each call."""
    return _PORTS.free()


def address(host: str, port: int) -> Address:
    family, _, _, _, target = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0]
    return Address(int(family), target)


@contextmanager
def full(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose backlog is full: the system drops further connects in silence."""
    sock = listener(host, port, backlog=0)
    port = port_of(sock)
    fillers: list[socket.socket] = []
    try:
        while True:
            filler = socket.socket(sock.family, socket.SOCK_STREAM)
            fillers.append(filler)
            filler.settimeout(0.3)
            try:
                filler.connect((host, port))
            except TimeoutError:
                break
        yield port
    finally:
        for filler in fillers:
            filler.close()
        sock.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def nothing_left() -> Iterator[None]:
    """Within it, neither a file nor a task is left behind."""
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    assert asyncio.all_tasks() == tasks
    # A server in a thread may still be about to close its end.
    deadline = time.monotonic() + PATIENCE
    while open_files() > files and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_files() <= files


def close_all(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
