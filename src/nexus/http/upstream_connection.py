"""One connection to a backend, and what becomes of it after each exchange.

Laws held here: a connection is reused only after a reply that was complete, exact and HTTP/1.1,
to a request that had left entirely; every way out is synchronous and ends in a closed socket or
in the pool.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol

from nexus.domain import Origin
from nexus.errors import StaleConnection, UpstreamClosed
from nexus.http.exchange import Exchange, ResponseHandler, Timeouts
from nexus.http.limits import UpstreamLimits
from nexus.http.upstream_reply import UpstreamReply
from nexus.tasks import Clock


class ConnectionOwner(Protocol):
    """Who keeps connections between exchanges and counts sockets."""

    def opened(self, connection: UpstreamConnection) -> None:
        """The transport is up."""
        ...

    def rests(self, connection: UpstreamConnection) -> None:
        """The connection is fit for another exchange."""
        ...

    def closing(self, connection: UpstreamConnection) -> None:
        """The connection must not be used again."""
        ...

    def closed(self, connection: UpstreamConnection) -> None:
        """The transport has let go of its socket."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """A client connection to ``origin``; one exchange at a time.

    Args:
        origin: what it is connected to.
        owner: told when it comes up, rests and closes.
        clock: for deadlines.
        limits: bytes and fields of a reply's head, and the idle time.
    """

    __slots__ = (
        "_abandoned",
        "_answered",
        "_clock",
        "_counted",
        "_exchange",
        "_limits",
        "_loop",
        "_owner",
        "_reply",
        "_reused",
        "_transport",
        "deadline",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        owner: ConnectionOwner,
        clock: Clock,
        limits: UpstreamLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.origin = origin
        self.deadline = inf
        self._owner = owner
        self._clock = clock
        self._limits = limits
        self._loop = loop
        self._reply = UpstreamReply(origin, limits)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._abandoned = False
        self._counted = False
        self._reused = False
        self._answered = False

    # The exchange

    @property
    def usable(self) -> bool:
        """Whether another exchange may begin."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and self._exchange is None

    def abandon(self) -> bool:
        """Close before the first exchange; return whether its socket was counted off.

        A connection that is cancelled while it is made hears of its transport late or never of
        its end (uvloop closes the handle without a word), so it waits for neither.
        """
        self._abandoned = True
        self.end(None)
        self._let_go()
        return self._transport is not None

    async def run(
        self, request: bytes, handler: ResponseHandler, timeouts: Timeouts, method: str, total_at: float
    ) -> None:
        """Send ``request`` and tell ``handler`` the reply.

        Args:
            request: head and body.
            handler: told the reply.
            timeouts: the phases' limits.
            method: the request's; it decides whether a reply may lack a body.
            total_at: when all must have ended, in monotonic seconds.

        Raises:
            StaleConnection: a reused connection died without a byte.
            UpstreamError: the reply did not become complete.
        """
        exchange = Exchange(self, timeouts, total_at, self._loop.create_future())
        self._exchange = exchange
        self.deadline = min(self._clock.now() + (timeouts.first_byte or inf), total_at)
        self._answered = False
        self._reply.begin(handler, method)
        transport = self._transport
        try:
            handler.connected(exchange)
            if self._exchange is exchange:
                if transport is None or transport.is_closing():
                    self.end(self._death(None))
                else:
                    transport.write(request)
                    await exchange.future
        finally:
            if self._exchange is exchange:
                self.end(None)
        if exchange.error is not None:
            raise exchange.error

    def end(self, error: BaseException | None) -> None:
        """End the running exchange, if any, and close the socket at once."""
        exchange = self._exchange
        self._exchange = None
        self._reply.stop()
        self.deadline = inf
        self._owner.closing(self)
        if self._transport is not None:
            self._transport.abort()
        if exchange is not None:
            exchange.close(error)

    def expired(self, now: float) -> None:
        """The deadline has passed: the pool's idle time or a phase of the exchange."""
        exchange = self._exchange
        self.end(exchange.overdue(now) if exchange is not None else None)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.now()

    def pause_reading(self) -> None:
        """Take no more bytes; what one read has brought is still told."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _settle(self) -> None:
        """The reply is complete: rest in the pool, or close."""
        exchange, framing, transport = self._exchange, self._reply.framing, self._transport
        if exchange is None or framing is None or transport is None:
            return
        idle = min(self._limits.idle_seconds, framing.idle_seconds)
        if (
            self._reply.overlong
            or idle <= 0
            or transport.is_closing()
            or transport.get_write_buffer_size() > 0
        ):
            self.end(None)
            return
        if exchange.paused:
            transport.resume_reading()
        self._exchange = None
        self._reply.stop()
        self._reused = True
        self.deadline = self._clock.now() + idle
        self._owner.rests(self)
        exchange.close(None)

    def _death(self, cause: BaseException | None) -> UpstreamClosed | StaleConnection:
        error: UpstreamClosed | StaleConnection
        if self._reused and not self._answered:
            error = StaleConnection(f"{self.origin} had closed an idle connection")
        elif self._reply.framing is None:
            error = UpstreamClosed(
                f"{self.origin} closed the connection before its reply's head was complete"
            )
        else:
            error = UpstreamClosed(f"{self.origin} closed the connection in the middle of its reply")
        error.__cause__ = cause
        return error

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        if self._abandoned:
            transport.abort()  # type: ignore[attr-defined]  # every transport of ours has it
            return
        self._transport = transport  # type: ignore[assignment]  # TCP and TLS transports are both Transports
        self._counted = True
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        exchange = self._exchange
        if exchange is None:
            # Nobody asked: whatever it is, the next reply could not be told from it.
            self.end(None)
            return
        self._answered = True
        if exchange.idle:
            self.deadline = min(self._clock.now() + exchange.idle, exchange.total_at)
        failure = self._reply.feed(data)
        if failure is not None:
            self.end(failure)
        elif self._reply.complete:
            self._settle()

    def eof_received(self) -> None:
        """The end of a reply without a length; otherwise a broken one."""
        framing = self._reply.framing
        if self._exchange is not None and framing is not None and framing.until_close:
            self.end(None)
        else:
            self.end(self._death(None))

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self.end(self._death(exc))
        self._reply.release()
        self._let_go()

    def _let_go(self) -> None:
        if self._counted:
            self._counted = False
            self._owner.closed(self)
