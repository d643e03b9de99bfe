"""Does anybody listen there? Many TCP connects at once, and nothing else.

Laws: a connection is closed as soon as it stands, without a byte sent, so that no server sees a
request; leaving, for whatever reason, closes every socket before the next line runs; only a
refusal proves that nobody listens, since a server with a full backlog is silent, too.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Final

from nexus.http.resolve import Address

AT_ONCE: Final = 64
"""Sockets open at once: a scan must not take the files that clients need."""

_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})
# A reset, unlike a refusal, ends a connection that stood.
_ANSWERS: Final = frozenset({0, errno.EISCONN, errno.ECONNRESET})
# The last two say that this machine has no such address or family at all.
_REFUSALS: Final = frozenset({errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Answer(Enum):
    """What a connect said."""

    OPEN = "open"
    CLOSED = "closed"
    SILENT = "silent"
    """Nothing in time, no route, or no socket to ask with: that proves nothing."""


async def knock(
    addresses: Iterable[Address], seconds: float, at_once: int = AT_ONCE
) -> dict[Address, Answer]:
    """Ask each of ``addresses`` once.

    Args:
        addresses: where; equal ones are asked once.
        seconds: for each connect.
        at_once: sockets open at once.

    Returns:
        What each of them said.
    """
    answers: dict[Address, Answer] = {}
    waiting = iter(dict.fromkeys(addresses))
    while batch := list(islice(waiting, at_once)):
        await _Batch(answers).run(batch, seconds)
    return answers


class _Batch:
    """Connects that run side by side.

    By readiness callbacks instead of tasks: there is nothing that could be left behind.
    """

    __slots__ = ("_answers", "_ended", "_loop", "_running")

    def __init__(self, answers: dict[Address, Answer]) -> None:
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._running: dict[socket.socket, Address] = {}

    async def run(self, addresses: Iterable[Address], seconds: float) -> None:
        try:
            for address in addresses:
                self._answers[address] = Answer.SILENT
                self._begin(address)
            if self._running:
                await asyncio.wait((self._ended,), timeout=seconds)
            # A loop that was held up may run the timer before what happened in time.
            for sock, address in self._running.items():
                self._answers[address] = _answer(sock, sock.connect_ex(address.target))
        finally:
            for sock in self._running:
                self._loop.remove_writer(sock)
                sock.close()

    def _begin(self, address: Address) -> None:
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:
            self._answers[address] = _verdict(error.errno)
            return
        sock.setblocking(False)  # noqa: FBT003  # the standard library's own signature
        code = sock.connect_ex(address.target)
        if code in _UNDER_WAY:
            self._running[sock] = address
            self._loop.add_writer(sock, self._writable, sock)
            return
        self._answers[address] = _answer(sock, code)
        sock.close()

    def _writable(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        address = self._running.pop(sock)
        self._answers[address] = _answer(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        sock.close()
        if not self._running and not self._ended.done():
            self._ended.set_result(None)


def _answer(sock: socket.socket, code: int) -> Answer:
    if code in _ANSWERS:
        return Answer.CLOSED if met_itself(sock) else Answer.OPEN
    return _verdict(code)


def _verdict(code: int | None) -> Answer:
    return Answer.CLOSED if code in _REFUSALS else Answer.SILENT


def met_itself(sock: socket.socket) -> bool:
    """Tell whether a connected socket is its own peer.

    A connect to a free port from which the system lets connections begin (52415 is one) may be
    given that very port, and then succeeds without anybody listening (RFC 9293 3.5, simultaneous
    open).
    """
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        # The peer left already, so there was one.
        return False
