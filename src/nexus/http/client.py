"""The HTTP/1.1 client: an exchange on a pooled connection, or on a new one.

Laws held here: an exchange that ends, however it ends, leaves its connection in the pool or its
socket closed, without awaiting; a request is sent twice only if the first, reused, connection
died without a byte of a reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final

from nexus.domain import Origin
from nexus.errors import ConnectTimeout, StaleConnection, UpstreamClosed
from nexus.http.connect import Connector
from nexus.http.exchange import Flow, ResponseHandler, Timeouts
from nexus.http.fetch import Collector, Fetched
from nexus.http.limits import UpstreamLimits
from nexus.http.pool import Places, Pool
from nexus.http.proxy import Proxies
from nexus.http.resolve import Resolver, SystemResolver
from nexus.http.sockets import OpenSockets
from nexus.http.upstream_connection import UpstreamConnection
from nexus.protocol.headers import Header
from nexus.stepping import Wait, errand, run_stepped
from nexus.tasks import Clock, DeadlineWatch, TaskOwner

__all__ = ["Fetched", "Flow", "HttpClient", "ResponseHandler", "Timeouts", "request_bytes"]

_FIELD: Final = b": ".join


class HttpClient:
    """Sends requests to backends and keeps their connections.

    Args:
        clock: for deadlines.
        watch: expires them, the pool's idle time included.
        tasks: owns name look-ups and attempts to connect.
        limits: sizes, idle time and connections per origin.
        resolver: replaces the system's.
        environ: where ``HTTPS_PROXY`` and ``NO_PROXY`` are read from; none by default.
    """

    __slots__ = (
        "_clock",
        "_closed",
        "_connections",
        "_connector",
        "_limits",
        "_places",
        "_pool",
        "_sockets",
        "_tasks",
        "_watch",
        "rests",
    )

    def __init__(
        self,
        *,
        clock: Clock,
        watch: DeadlineWatch,
        tasks: TaskOwner,
        limits: UpstreamLimits | None = None,
        resolver: Resolver | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._clock = clock
        self._closed = False
        self._watch = watch
        self._tasks = tasks
        self._limits = limits or UpstreamLimits()
        self._pool: Pool[UpstreamConnection] = Pool()
        # Part of what connections tell their owner; each reply ends with it.
        self.rests = self._pool.put
        self._places = Places(self._limits.max_connections) if self._limits.max_connections else None
        self._sockets = OpenSockets()
        self._connections: set[UpstreamConnection] = set()
        self._connector = Connector(
            clock, self._limits, resolver or SystemResolver(tasks), Proxies(environ or {}), self._sockets
        )

    @property
    def open_sockets(self) -> int:
        """Every socket that is alive: connecting, in use, resting or about to close."""
        return self._sockets.count

    def idle(self, origin: Origin) -> int:
        """How many connections to ``origin`` rest in the pool."""
        return self._pool.idle(origin)

    def exchange(
        self,
        origin: Origin,
        request: bytes,
        handler: ResponseHandler,
        timeouts: Timeouts,
        *,
        method: str = "POST",
    ) -> Coroutine[Wait, None, None]:
        """Send one request and return when its reply is complete; to be awaited in a stepped coroutine.

        The handler is called synchronously meanwhile, and never after the return. Cancelling
        closes the socket at once.

        Args:
            origin: where to.
            request: head and body, as :func:`request_bytes` makes them.
            handler: told the reply.
            timeouts: in seconds.
            method: the one in ``request``.

        Raises:
            UpstreamError: there was no complete reply; its cause is chained.
        """
        total_at = self._clock.now() + timeouts.total if timeouts.total else inf
        if self._places is None:
            return self._exchange(origin, request, handler, timeouts, method, total_at)
        return self._exchange_in_turn(self._places, origin, request, handler, timeouts, method, total_at)

    async def fetch(
        self,
        origin: Origin,
        method: str,
        target: str,
        *,
        headers: Sequence[Header] = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109  # on the shared watch, cheaper than a timer of its own
        max_bytes: int | None = None,
    ) -> Fetched:
        """Send a small request and return the whole reply.

        It takes no place of ``max_connections``: a busy backend would fail its checks.

        Args:
            origin: where to.
            method: such as ``"GET"``.
            target: path and query, encoded.
            headers: besides ``Host`` and the framing.
            body: the request's.
            timeout: seconds for all of it.
            max_bytes: of the reply's body; the limits' ``fetch_bytes`` by default.

        Raises:
            ResponseTooLarge: the body is longer.
            UpstreamError: there was no complete reply.
        """
        collector = Collector(self._limits.fetch_bytes if max_bytes is None else max_bytes)
        request = request_bytes(
            method, target.encode("latin-1"), origin.authority.encode("latin-1"), headers, body
        )
        timeouts = Timeouts(connect=timeout, first_byte=0, idle=0, total=timeout)
        total_at = self._clock.now() + timeout
        await run_stepped(self._exchange(origin, request, collector, timeouts, method, total_at))
        return collector.fetched()

    def close_idle(self, origin: Origin) -> None:
        """Close the connections to ``origin`` that rest: nothing will be asked there any more."""
        self._pool.drop(origin)

    async def close(self) -> None:
        """Close every connection, ending running exchanges, and wait for their sockets."""
        self._closed = True
        for connection in list(self._connections):
            connection.end(UpstreamClosed("the client is shutting down"))
        await self._sockets.drained()

    async def _exchange(
        self,
        origin: Origin,
        request: bytes,
        handler: ResponseHandler,
        timeouts: Timeouts,
        method: str,
        total_at: float,
    ) -> None:
        now = self._clock.now()
        connection = self._pool.take(origin, now)
        while True:
            if connection is None:
                connect = partial(self._connector.connect, origin, self, timeouts.connect)
                connection = await errand(self._tasks, connect, "connect")
                now = self._clock.now()
            exchange = connection.begin(request, handler, timeouts, method, now, total_at)
            try:
                await exchange
            except BaseException:
                exchange.finish()
                raise
            error = exchange.error
            if error is None:
                return
            if not isinstance(error, StaleConnection):
                raise error
            # Only a reused connection is ever stale: the second one is fresh, and the last.
            connection = None

    async def _exchange_in_turn(
        self,
        places: Places,
        origin: Origin,
        request: bytes,
        handler: ResponseHandler,
        timeouts: Timeouts,
        method: str,
        total_at: float,
    ) -> None:
        seconds = timeouts.first_byte
        take = partial(_within, seconds, places, origin)
        try:
            await errand(self._tasks, take, "place")
        except TimeoutError as error:
            raise ConnectTimeout(f"no connection to {origin} came free within {seconds:g} s") from error
        try:
            await self._exchange(origin, request, handler, timeouts, method, total_at)
        finally:
            places.release(origin)

    # The connections' owner

    def opened(self, connection: UpstreamConnection) -> None:
        """Count a connection whose transport is up."""
        self._connections.add(connection)
        self._watch.add(connection)
        if self._closed:
            connection.end(None)

    def closing(self, connection: UpstreamConnection) -> None:
        """Never use a connection again."""
        self._pool.discard(connection)

    def closed(self, connection: UpstreamConnection) -> None:
        """Forget a connection whose transport has let go of its socket."""
        self._connections.discard(connection)
        self._watch.discard(connection)
        self._sockets.gone()


async def _within(seconds: float, places: Places, origin: Origin) -> None:
    async with asyncio.timeout(seconds or None):
        await places.acquire(origin)


def request_bytes(
    method: str, target: bytes, host: bytes, headers: Iterable[Header], body: bytes = b""
) -> bytes:
    """Write a request: head and body in one piece.

    Args:
        method: such as ``"POST"``.
        target: path and query, encoded.
        host: the value of ``Host``.
        headers: in their order, without ``Host`` and ``Content-Length``.
        body: sent by length; no length is announced for an empty body except where a body is
            expected (RFC 9110 8.6).
    """
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (method.encode(), target, host)]
    lines.extend(map(_FIELD, headers))
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Length: %d" % len(body))
    lines.append(b"")
    lines.append(body)
    return b"\r\n".join(lines)
