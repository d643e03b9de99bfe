"""One connection to a backend, and what becomes of it after each exchange.

Laws held here: a connection is reused only after a reply that was complete, exact and HTTP/1.1,
to a request that had left entirely; every way out is synchronous and ends in a closed socket or
in the pool.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from httptools import HttpParserError

from nexus.domain import Origin
from nexus.errors import StaleConnection, UpstreamClosed
from nexus.http.exchange import Exchange, ResponseHandler, Timeouts
from nexus.http.framing import LASTING
from nexus.http.limits import UpstreamLimits
from nexus.http.upstream_reply import UpstreamReply
from nexus.tasks import Clock

if TYPE_CHECKING:
    from nexus.http.client import HttpClient


class UpstreamConnection(UpstreamReply):
    """A client connection to ``origin``; one exchange at a time.

    Args:
        origin: what it is connected to.
        owner: told when it comes up, rests and closes.
        clock: for deadlines.
        limits: bytes and fields of a reply's head, and the idle time.
    """

    __slots__ = (
        "_abandoned",
        "_counted",
        "_exchange",
        "_owner",
        "_reused",
        "_transport",
        "deadline",
        "now",
    )

    def __init__(
        self,
        origin: Origin,
        owner: HttpClient,
        clock: Clock,
        limits: UpstreamLimits,
    ) -> None:
        UpstreamReply.__init__(self, origin, limits)
        self.deadline = inf
        self.now = clock.now
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._abandoned = False
        self._counted = False
        self._reused = False

    # The exchange

    def abandon(self) -> bool:
        """Close before the first exchange; return whether its socket was counted off.

        A connection that is cancelled while it is made hears of its transport late or never of
        its end (uvloop closes the handle without a word), so it waits for neither.
        """
        self._abandoned = True
        self.end(None)
        self._let_go()
        return self._transport is not None

    def begin(
        self,
        request: bytes,
        handler: ResponseHandler,
        timeouts: Timeouts,
        method: str,
        now: float,
        total_at: float,
    ) -> Exchange:
        """Send ``request`` and tell ``handler`` the reply.

        Args:
            request: head and body.
            handler: told the reply.
            timeouts: the phases' limits.
            method: the request's; it decides whether a reply may lack a body.
            now: monotonic seconds.
            total_at: when all must have ended, in monotonic seconds.

        Returns:
            The running exchange, or one that has ended already. Its error is a
            :class:`StaleConnection` when a reused connection died without a byte.
        """
        exchange = Exchange(self, timeouts, total_at)
        self._exchange = exchange
        first_byte = timeouts.first_byte
        at = now + first_byte if first_byte else inf
        self.deadline = at if total_at == inf else min(at, total_at)
        self._handler = handler
        self._method = method
        self._begun = False
        self._silent = 0
        self.framing = None
        self.complete = self.overlong = False
        try:
            handler.connected(exchange)
        except BaseException:
            exchange.finish()
            raise
        transport = self._transport
        if self._exchange is not exchange:
            pass
        elif transport is None or transport.is_closing():
            self.end(self._death(None))
        else:
            transport.write(request)
        return exchange

    def end(self, error: BaseException | None) -> None:
        """End the running exchange, if any, and close the socket at once."""
        exchange = self._exchange
        self._exchange = None
        self._handler = None
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

    def pause_reading(self) -> None:
        """Take no more bytes; what one read has brought is still told."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _settle(self, exchange: Exchange) -> None:
        """The reply is complete: rest in the pool, or close."""
        framing, transport = self.framing, self._transport
        if framing is None or transport is None:
            return
        idle = self._limits.idle_seconds
        if framing is not LASTING:
            idle = min(idle, framing.idle_seconds)
        if self.overlong or idle <= 0 or transport.is_closing() or transport.get_write_buffer_size():
            self.end(None)
            return
        if exchange.paused_for is not None:
            transport.resume_reading()
        self._exchange = self._handler = None
        self._reused = True
        self.deadline = self.now() + idle
        self._owner.rests(self)
        exchange.close(None)

    def _death(self, cause: BaseException | None) -> UpstreamClosed | StaleConnection:
        error: UpstreamClosed | StaleConnection
        if self._reused and not self._begun:
            error = StaleConnection(f"{self.origin} had closed an idle connection")
        elif self.framing is None:
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
        self._silent += len(data)
        try:
            self.feed(data)
        except HttpParserError as error:
            if not self.complete:
                self.end(self.explained(error))
                return
            self.overlong = True
        except Exception as error:  # noqa: BLE001  # the handler's own, which the parser would have wrapped
            self.end(error)
            return
        if self.complete:
            if self._exchange is exchange:
                self._settle(exchange)
        elif self._silent > self._limits.head_bytes:
            self.end(self.too_much())
        elif exchange.idle and self._exchange is exchange:
            at = self.now() + exchange.idle
            self.deadline = at if exchange.total_at == inf else min(at, exchange.total_at)

    def pause_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.pause_writing`; a request is in memory whole anyway."""

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""

    def eof_received(self) -> None:
        """The end of a reply without a length; otherwise a broken one."""
        framing = self.framing
        if self._exchange is not None and framing is not None and framing.until_close:
            self.end(None)
        else:
            self.end(self._death(None))

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self.end(self._death(exc))
        self.release()
        self._let_go()

    def _let_go(self) -> None:
        if self._counted:
            self._counted = False
            self._owner.closed(self)
