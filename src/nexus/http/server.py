"""The server side of HTTP: listening, and all client connections together."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable
from typing import cast

from nexus.errors import RequestError
from nexus.http.accept import Acceptor, bind
from nexus.http.connection import ClientConnection
from nexus.http.context import Application, ServerContext
from nexus.http.limits import ServerLimits
from nexus.http.reply import Reply
from nexus.http.request import Request
from nexus.protocol.error_body import render
from nexus.tasks import Clock, DeadlineWatch, TaskOwner

__all__ = ["Application", "HttpServer", "Reply", "Request"]


class HttpServer:
    """Serves one application over HTTP/1.0 and HTTP/1.1.

    Args:
        app: answers the requests.
        limits: what clients may cost.
        clock: time.
        watch: the deadlines of every connection.
        tasks: owns the task of each request that needs one.
        refuse: the JSON body of a refusal.
    """

    __slots__ = ("_acceptors", "_context")

    def __init__(
        self,
        app: Application,
        limits: ServerLimits,
        clock: Clock,
        watch: DeadlineWatch,
        tasks: TaskOwner,
        refuse: Callable[[RequestError], bytes] = render,
    ) -> None:
        self._context = ServerContext(app, limits, clock, watch, tasks, refuse)
        self._acceptors: list[Acceptor] = []

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._context.connections)

    @property
    def buffered(self) -> int:
        """Request bytes held over all connections."""
        return self._context.buffered

    @property
    def draining(self) -> bool:
        """While true every reply carries ``Connection: close``."""
        return self._context.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._context.draining = value

    def protocol(self) -> asyncio.Protocol:
        """The protocol for one more connection, for a socket that is open already."""
        # It has all of a protocol's methods; as its base class it would only cost.
        return cast("asyncio.Protocol", ClientConnection(self._context))

    async def listen(
        self, host: str, port: int, *, ssl: tls.SSLContext | None = None, backlog: int = 2048
    ) -> tuple[tuple[str, int], ...]:
        """Take connections on every address of ``host``.

        Args:
            host: a name or an address.
            port: 0 takes a free one.
            ssl: serve TLS with this context.
            backlog: connections that the kernel queues.

        Returns:
            The addresses in use, as host and port.

        Raises:
            OSError: an address cannot be taken; none is then.
        """
        context = self._context
        listeners = await bind(host, port, backlog)
        for listener in listeners:
            self._acceptors.append(
                Acceptor(listener, self.protocol, context.tasks, ssl, context.limits.head_seconds)
            )
        return tuple(listener.getsockname()[:2] for listener in listeners)

    def stop_listening(self) -> None:
        """Take no more connections; those that are open go on."""
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()

    def close_idle(self) -> None:
        """Close the connections on which no request is arriving or being answered."""
        for connection in tuple(self._context.connections):
            connection.close_if_idle()

    def abort_all(self) -> None:
        """Cut every connection; replies that run learn that their client is gone."""
        for connection in tuple(self._context.connections):
            connection.abort()
