"""One connection to a backend: bytes in, one reply at a time, parsed by llhttp.

Laws held here: where a reply ends is decided from its head, never by looking for bytes; a
connection is reused only after a reply that was complete, exact and HTTP/1.1, to a request that
had left entirely; every way out is synchronous and ends in a closed socket or in the pool.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final, Protocol

import httptools

from nexus.domain import Origin
from nexus.errors import StaleConnection, UpstreamClosed, UpstreamProtocolError
from nexus.http.exchange import Exchange, ResponseHandler, Timeouts
from nexus.http.framing import Framing, read_framing
from nexus.http.limits import UpstreamLimits
from nexus.protocol.headers import Header
from nexus.tasks import Clock

_BODILESS: Final = frozenset((204, 304))


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
        "_complete",
        "_counted",
        "_exchange",
        "_framing",
        "_handler",
        "_headers",
        "_limits",
        "_loop",
        "_method",
        "_overlong",
        "_owner",
        "_parser",
        "_reused",
        "_silent",
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
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._handler: ResponseHandler | None = None
        self._headers: list[Header] = []
        self._framing: Framing | None = None
        self._method = ""
        self._abandoned = False
        self._counted = False
        self._reused = False
        self._answered = False
        self._complete = False
        self._overlong = False
        self._silent = 0

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
        self._handler = handler
        self._method = method
        self._answered = self._complete = self._overlong = False
        self._silent = 0
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
        self._exchange = self._handler = None
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
        exchange, framing, transport = self._exchange, self._framing, self._transport
        if exchange is None or framing is None or transport is None:
            return
        idle = min(self._limits.idle_seconds, framing.idle_seconds)
        if (
            self._overlong
            or idle <= 0
            or self._method == "HEAD"
            or transport.is_closing()
            or transport.get_write_buffer_size() > 0
        ):
            self.end(None)
            return
        if exchange.paused:
            transport.resume_reading()
        self._exchange = self._handler = None
        self._reused = True
        self.deadline = self._clock.now() + idle
        self._owner.rests(self)
        exchange.close(None)

    def _death(self, cause: BaseException | None) -> UpstreamClosed | StaleConnection:
        error: UpstreamClosed | StaleConnection
        if self._reused and not self._answered:
            error = StaleConnection(f"{self.origin} had closed an idle connection")
        elif self._framing is None or not self._answered:
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
        self._silent += len(data)
        if exchange.idle:
            self.deadline = min(self._clock.now() + exchange.idle, exchange.total_at)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._complete:
                self._fail(error)
                return
            self._overlong = True
        if self._complete:
            self._settle()
        elif self._silent > self._limits.head_bytes and self._exchange is not None:
            self.end(
                UpstreamProtocolError(f"more than {self._limits.head_bytes} bytes of head or chunk framing")
            )

    def eof_received(self) -> None:
        """The end of a reply without a length; otherwise a broken one."""
        framing = self._framing
        if self._exchange is not None and self._answered and framing is not None and framing.until_close:
            self.end(None)
        else:
            self.end(self._death(None))

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self.end(self._death(exc))
        self._let_go()

    def _let_go(self) -> None:
        if self._counted:
            self._counted = False
            self._owner.closed(self)

    def _fail(self, error: httptools.HttpParserError) -> None:
        if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
            self.end(error.__context__)
            return
        failure = UpstreamProtocolError(f"{self.origin} sent bytes that are not HTTP/1.1: {error}")
        failure.__cause__ = error
        self.end(failure)

    # The parser

    def on_message_begin(self) -> None:
        """A status line starts; after the end of the reply it is one too many."""
        if self._complete:
            self._overlong = True
            return
        self._headers = []
        self._framing = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of the trailers, which are dropped."""
        if self._framing is None:
            self._headers.append((name, value))
            if len(self._headers) > self._limits.fields:
                raise UpstreamProtocolError(f"more than {self._limits.fields} header fields")

    def on_headers_complete(self) -> None:
        """The head is whole: tell it, unless it is informational (RFC 9110 15.2)."""
        handler = self._handler
        if self._complete or handler is None:
            return
        parser = self._parser
        status = parser.get_status_code()
        if 102 <= status < 200 or status == 100:
            return
        bodiless = status in _BODILESS or self._method == "HEAD"
        self._check_status(status)
        self._framing = read_framing(
            self._headers, parser.get_http_version(), bodiless=bodiless, lasting=parser.should_keep_alive()
        )
        handler.head(status, self._headers)
        if self._method == "HEAD":
            self._complete = True

    def on_body(self, data: bytes) -> None:
        """Bytes of the body, without chunk framing."""
        self._silent = 0
        if self._complete:
            self._overlong = True
        elif self._handler is not None:
            self._handler.data(data)

    def on_message_complete(self) -> None:
        """The end by length or last chunk; also that of a 1xx, which has no framing."""
        if self._framing is not None:
            self._complete = True

    def _check_status(self, status: int) -> None:
        impossible = not 200 <= status <= 599 or (self._method == "POST" and status in (204, 205))
        if impossible:
            raise UpstreamProtocolError(f"{self.origin} answered with the impossible status {status}")
