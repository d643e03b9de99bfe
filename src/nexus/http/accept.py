"""Listening sockets, and taking connections off them.

Accepting is ours because running out of open files must cost one log line a second and delay
clients, not lose them: asyncio's own acceptor logs a traceback for each connection of the
backlog, uvloop's accepts and drops them without a word.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from nexus.tasks import TaskOwner

_log: Final = logging.getLogger("nexus.http.server")

_BURST: Final = 64
_REST_SECONDS: Final = 1.0
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def bind(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listen on every address of ``host``.

    Args:
        host: a name or an address.
        port: 0 takes a free one (the same for all addresses).
        backlog: connections that the kernel queues.

    Returns:
        Non-blocking listening sockets.

    Raises:
        OSError: the name does not resolve, or an address cannot be taken; none is then.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((info[0], info[4]) for info in found):
            taken = sockets[0].getsockname()[1] if sockets else port
            listener = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listener)
            listener.settimeout(0.0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], taken, *address[2:]))
            listener.listen(backlog)
    except OSError:
        for listener in sockets:
            listener.close()
        raise
    return sockets


class Acceptor:
    """Takes connections off one listening socket until it is closed.

    Args:
        listener: non-blocking and listening; owned from now on.
        protocol: makes the protocol of one connection.
        tasks: owns the short task that opens each connection.
        context: for TLS.
        handshake_seconds: for the TLS handshake.
    """

    __slots__ = ("_context", "_handshake_seconds", "_listener", "_loop", "_protocol", "_resting", "_tasks")

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tasks: TaskOwner,
        context: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._tasks = tasks
        self._context = context
        self._handshake_seconds = handshake_seconds
        self._resting: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._readable)

    def close(self) -> None:
        """Stop listening; connections that were taken live on."""
        self._loop.remove_reader(self._listener)
        if self._resting is not None:
            self._resting.cancel()
        self._listener.close()

    def _readable(self) -> None:
        for _ in range(_BURST):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._rest(error)
                return
            connection.settimeout(0.0)
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(connection)

    def _rest(self, error: OSError) -> None:
        _log.error("cannot accept connections: %s; trying again in a second", error.strerror)
        self._loop.remove_reader(self._listener)
        self._resting = self._loop.call_later(_REST_SECONDS, self._resume)

    def _resume(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listener, self._readable)

    def _begin(self, connection: socket.socket) -> None:
        protocol = self._protocol()

        def opened(task: asyncio.Task[None]) -> None:
            if task.cancelled():
                # uvloop has told the protocol that it was made, and does not tell that it was lost.
                protocol.connection_lost(None)
                connection.close()

        self._tasks.spawn(self._open(connection, protocol), "open").add_done_callback(opened)

    async def _open(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        timeout = self._handshake_seconds if self._context is not None else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=timeout
            )
        except OSError as error:
            # A handshake that fails is the client's affair (ssl.SSLError is an OSError).
            _log.debug("a connection could not be opened: %s", error)
            connection.close()
