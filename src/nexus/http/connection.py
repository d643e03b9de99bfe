"""One client connection: HTTP/1.1 on an asyncio protocol.

Laws held here:

* One message at a time. While a reply runs, and while the client owes us reads, what it sends
  waits as plain bytes, so replies leave in order and no refusal can get into a running reply.
* Reading stays on up to a bound while a reply runs, so that a client that leaves is noticed.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from nexus.errors import RequestError, RequestTimeout, ServiceUnavailable
from nexus.http.body import too_large
from nexus.http.ending import BODY, CLOSING, HEAD, IDLE, LINGER, REPLY, EndingConnection
from nexus.http.handling import answer, handle
from nexus.http.reply import Reply
from nexus.http.request import Request

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(EndingConnection):
    """Reads requests off one socket and hands them to the application, one at a time."""

    __slots__ = ()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        context = self._context
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(context.limits.write_high, context.limits.write_low)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        context.connections.add(self)
        self._expire_in(context.limits.keep_alive_seconds)
        context.watch.add(self)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        phase = self._phase
        if phase is CLOSING:
            return
        if phase is LINGER:
            self._discard(len(data))
            return
        reader = self._reader
        reader.pending = reader.pending + data if reader.pending else data
        if phase is REPLY or self._writing_paused:
            self._hold(len(data))
        else:
            self._advance()

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self._writing_paused = False
        if self._phase is REPLY:
            if self._reply is not None and self._reply.source is not None:
                self._reply.source.resume()
        elif self._phase is IDLE:
            self._rest()
        else:
            self._read_on()
            self._advance()

    # What the clock tells.

    def expired(self, now: float) -> None:
        """See :class:`nexus.tasks.Expiring`."""
        if self._phase is HEAD:
            self._refuse(RequestTimeout("The request's head took too long to arrive."))
        elif self._phase is BODY:
            self._refuse(RequestTimeout("The request's body stopped arriving."))
        else:
            super().expired(now)

    # Reading: bytes to requests.

    def _advance(self) -> None:
        """Go on with what is pending until it needs more bytes, or its answer more time."""
        if self._advancing:
            # A reply that ends inside the loop below is followed by the loop's next round:
            # pipelined requests need no deep stack.
            return
        self._advancing = True
        try:
            while not self._writing_paused:
                phase = self._phase
                if phase is not IDLE and phase is not HEAD and phase is not BODY:
                    break
                if not self._step():
                    break
        except RequestError as error:
            self._refuse(error)
        finally:
            self._advancing = False

    def _step(self) -> bool:
        """Take the next head or body and act on it; False when there is nothing to go on with.

        Raises:
            RequestError: the connection cannot be read further.
        """
        request = self._request
        if request is None:
            request = self._reader.next_head()
            if request is None:
                if self._phase is IDLE and self._reader.pending:
                    self._phase = HEAD
                    self._expire_in(self._context.limits.head_seconds)
                return False
            if not self._admit(request):
                return True
        if not self._reader.take_body(request):
            self._await_body(request)
            return False
        self._dispatch(request)
        return self._reader.pending != b""

    def _admit(self, request: Request) -> bool:
        context = self._context
        request.peer = self._peer
        try:
            if request.length:
                self._check_room(request.length)
            context.app.admit(request)
        except RequestError as error:
            request.keep_alive = request.keep_alive and self._reader.skip_body(request)
            self._refuse(error, request)
            return False
        return True

    def _check_room(self, more: int) -> None:
        context = self._context
        limits = context.limits
        if more > limits.body_bytes:
            raise too_large(limits)
        if context.buffered + more > limits.buffered_bytes:
            raise ServiceUnavailable(
                "Nexus holds as many request bytes as it may; try again.", headers=(("Retry-After", "1"),)
            )

    def _await_body(self, request: Request) -> None:
        """Wait for more of the body; each byte of it is progress."""
        self._count_held(0)
        self._check_room(0)
        if self._phase is not BODY:
            self._phase = BODY
            self._request = request
            if request.expects_continue and not self._held:
                self.send(_CONTINUE)
        self._expire_in(self._context.limits.body_seconds)

    def _dispatch(self, request: Request) -> None:
        """Hand a complete request to the application."""
        context = self._context
        request.received_at = now = context.clock.now()
        self.deadline = now + context.limits.write_seconds
        self._phase = REPLY
        self._request = None
        # As ``_count_held``, without the call: of a complete request nothing is partial.
        held = len(request.body) + len(self._reader.pending)
        context.buffered += held - self._held
        self._held = held
        reply = self._reply = Reply(self, context, request)
        handle(context, request, reply)

    def _hold(self, more: int) -> None:
        """Let ``more`` bytes wait until the reply has ended, as many as one connection may hold."""
        context, limits = self._context, self._context.limits
        self._held += more
        context.buffered += more
        if len(self._reader.pending) > limits.pipelined_bytes or context.buffered > limits.buffered_bytes:
            self._reading_paused = True
            self._transport.pause_reading()

    # The ways on.

    def reply_ended(self, reply: Reply) -> None:
        """The whole reply is written; the connection is free for the next request, or closes."""
        self._reply = None
        if reply.keep_alive and not self._reading_paused and not self._reader.pending:
            # Nearly always: nothing more came meanwhile.
            context = self._context
            self._phase = IDLE
            self.deadline = context.clock.now() + context.limits.keep_alive_seconds
            context.buffered -= self._held
            self._held = 0
            return
        if reply.keep_alive:
            self._rest()
        elif self._phase is not REPLY or self._reader.pending or self._transport.can_write_eof():
            # More may be on its way even if none has come: a close now would reset the reply (RFC 9112 9.6).
            self._linger()
        else:
            self._close()
        if self._phase is not REPLY:
            self._count_held(0)

    def _rest(self) -> None:
        """The connection is free: for the next pending request, or idle."""
        self._phase = IDLE
        context = self._context
        self.deadline = context.clock.now() + context.limits.keep_alive_seconds
        if self._reading_paused:
            self._read_on()
        if self._reader.pending:
            self._advance()

    def _refuse(self, error: RequestError, request: Request | None = None) -> None:
        """Answer a request that the application never gets; without ``request`` nothing is read further."""
        if request is None:
            request = self._request or Request("GET", "/", "", (1, 1), (), {})
            request.keep_alive = False
        self._request = None
        answer(self._context, Reply(self, self._context, request), error)
