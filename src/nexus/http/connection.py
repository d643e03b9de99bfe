"""One client connection: HTTP/1.1 on an asyncio protocol.

Laws held here:

* One message at a time. While a reply runs, and while the client owes us reads, what it sends
  waits as plain bytes, so replies leave in order and no refusal can get into a running reply.
* Reading stays on up to a bound while a reply runs, so that a client that leaves is noticed.
* Whatever way a connection ends, it passes :meth:`ClientConnection.connection_lost`, which leaves
  nothing behind: no deadline, no counted byte, no reply that believes it is read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import Enum, auto
from math import inf
from typing import Final, cast

from nexus.errors import RequestError, RequestTimeout, ServiceUnavailable
from nexus.http.body import too_large
from nexus.http.context import ServerContext
from nexus.http.handling import answer, handle
from nexus.http.reader import RequestReader
from nexus.http.reply import Reply
from nexus.http.request import Request

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Phase(Enum):
    """Where a connection is in its round of messages."""

    IDLE = auto()
    """No byte of the next request is there."""
    HEAD = auto()
    """Part of a head is there."""
    BODY = auto()
    """The head is admitted, part of the body is missing."""
    REPLY = auto()
    """The application has the request."""
    LINGER = auto()
    """Refused; what still comes is thrown away, so that the client reads the refusal."""
    CLOSING = auto()
    """Nothing more is read; what is unsent may still leave."""


# Looking a member up in its class costs more than everything else done with it.
_IDLE, _HEAD, _BODY, _REPLY, _LINGER, _CLOSING = Phase


class ClientConnection(asyncio.Protocol):
    """Reads requests off one socket and hands them to the application, one at a time.

    Args:
        context: what this server's connections share.

    Attributes:
        deadline: see :class:`nexus.tasks.Expiring`.
    """

    __slots__ = (
        "_advancing",
        "_body_bytes",
        "_context",
        "_discard_left",
        "_held",
        "_peer",
        "_phase",
        "_reader",
        "_reading_paused",
        "_reply",
        "_request",
        "_sent",
        "_taken",
        "_task",
        "_transport",
        "_writing_paused",
        "deadline",
    )

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._reader = RequestReader(context.limits)
        self._transport: asyncio.Transport
        self._peer: str | None = None
        self._phase = _IDLE
        self._request: Request | None = None
        self._reply: Reply | None = None
        self._task: asyncio.Task[None] | None = None
        self._body_bytes = 0
        self._held = 0
        self._sent = 0
        self._taken = 0
        self._discard_left = 0
        self._advancing = False
        self._reading_paused = False
        self._writing_paused = False
        self.deadline = inf

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
        if phase is _CLOSING:
            return
        if phase is _LINGER:
            self._discard(len(data))
            return
        self._reader.feed(data)
        if phase is _REPLY or self._writing_paused:
            self._hold()
        else:
            self._advance()

    def eof_received(self) -> None:
        """See :class:`asyncio.Protocol`; who will send no more has left, so the transport closes."""
        if self._depart():
            self.cut(reset=False)
        else:
            self._end_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why does not matter
        """See :class:`asyncio.Protocol`."""
        self._end_reading()
        self._body_bytes = 0
        self._count_held()
        self._context.watch.discard(self)
        self._context.connections.discard(self)
        self._depart()

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`; the client owes us reads."""
        self._writing_paused = True
        self._taken = self._sent - self._transport.get_write_buffer_size()
        self._expire_in(self._context.limits.write_seconds)
        if self._reply is not None and self._reply.on_pause is not None:
            self._reply.on_pause()

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self._writing_paused = False
        if self._phase is _REPLY:
            if self._reply is not None and self._reply.on_resume is not None:
                self._reply.on_resume()
        elif self._phase is _IDLE:
            self._rest()
        else:
            self._read_on()
            self._advance()

    # What the clock tells.

    def expired(self, now: float) -> None:
        """See :class:`nexus.tasks.Expiring`."""
        phase = self._phase
        if phase is _HEAD:
            self._refuse(RequestTimeout("The request's head took too long to arrive."))
        elif phase is _BODY:
            self._refuse(RequestTimeout("The request's body stopped arriving."))
        elif phase is not _LINGER and (unsent := self._transport.get_write_buffer_size()):
            self._check_taking(now, unsent)
        elif phase is _REPLY:
            self._expire_in(self._context.limits.write_seconds)
        elif phase is _IDLE:
            self._close()
        else:
            self._transport.abort()

    def _check_taking(self, now: float, unsent: int) -> None:
        """Cut a client that has taken nothing since the last look."""
        taken = self._sent - unsent
        if taken != self._taken:
            self._taken = taken
            self.deadline = now + self._context.limits.write_seconds
            return
        reply = self._reply
        if reply is not None and reply.on_stalled is not None:
            self._reply = None
            reply.departed = True
            reply.on_stalled()
        else:
            self._depart()
        self.cut(reset=False)

    def _expire_in(self, seconds: float) -> None:
        self.deadline = self._context.clock.now() + seconds

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
                if phase is not _IDLE and phase is not _HEAD and phase is not _BODY:
                    break
                if not self._step():
                    break
        except RequestError as error:
            self._refuse(error)
        finally:
            self._advancing = False

    def _step(self) -> bool:
        """Take the next head or body and act on it; False when it is not complete.

        Raises:
            RequestError: the connection cannot be read further.
        """
        request = self._request
        if request is None:
            request = self._reader.next_head()
            if request is None:
                if self._phase is _IDLE and self._reader.pending:
                    self._phase = _HEAD
                    self._expire_in(self._context.limits.head_seconds)
                return False
            if not self._admit(request):
                return True
        if not self._reader.take_body(request):
            self._await_body(request)
            return False
        self._dispatch(request)
        return True

    def _admit(self, request: Request) -> bool:
        request.peer = self._peer
        try:
            self._check_room(request.length or 0)
            self._context.app.admit(request)
        except RequestError as error:
            whole = request.keep_alive and self._reader.skip_body(request)
            self._refuse(error, request, keep_alive=whole)
            return False
        return True

    def _check_room(self, more: int) -> None:
        limits = self._context.limits
        if more > limits.body_bytes:
            raise too_large(limits)
        if self._context.buffered + more > limits.buffered_bytes:
            raise ServiceUnavailable(
                "Nexus holds as many request bytes as it may; try again.", headers=(("Retry-After", "1"),)
            )

    def _await_body(self, request: Request) -> None:
        """Wait for more of the body; each byte of it is progress."""
        self._count_held()
        self._check_room(0)
        if self._phase is not _BODY:
            self._phase = _BODY
            self._request = request
            if request.expects_continue and not self._held:
                self.send(_CONTINUE)
        self._expire_in(self._context.limits.body_seconds)

    def _dispatch(self, request: Request) -> None:
        """Hand a complete request to the application."""
        context = self._context
        request.received_at = now = context.clock.now()
        self.deadline = now + context.limits.write_seconds
        self._phase = _REPLY
        self._request = None
        self._body_bytes = len(request.body)
        self._count_held()
        reply = self._reply = Reply(
            self,
            context,
            keep_alive=request.keep_alive,
            head_only=request.method == "HEAD",
            http10=request.version == (1, 0),
        )
        task = handle(context, request, reply)
        if task is not None:
            self._task = task

    def _hold(self) -> None:
        """Let bytes wait until the reply has ended, as many as one connection may hold."""
        self._count_held()
        limits = self._context.limits
        if (
            len(self._reader.pending) > limits.pipelined_bytes
            or self._context.buffered > limits.buffered_bytes
        ):
            self._reading_paused = True
            self._transport.pause_reading()

    def _count_held(self) -> None:
        held = self._body_bytes + len(self._reader.pending) + self._reader.partial
        if held != self._held:
            self._context.buffered += held - self._held
            self._held = held

    # Writing, for the reply.

    def send(self, data: bytes) -> None:
        """See :class:`nexus.http.reply.Wire`."""
        self._sent += len(data)
        self._transport.write(data)

    def reply_ended(self, *, keep_alive: bool) -> None:
        """See :class:`nexus.http.reply.Wire`."""
        self._reply = self._task = None
        self._body_bytes = 0
        if keep_alive:
            self._rest()
        elif self._phase is not _REPLY or self._reader.pending:
            self._linger()
        else:
            self._close()
        self._count_held()

    def cut(self, *, reset: bool) -> None:
        """See :class:`nexus.http.reply.Wire`."""
        self._end_reading()
        self._reply = self._task = None
        if reset and (sock := self._transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    # The ways on and out.

    def _rest(self) -> None:
        """The connection is free: for the next pending request, or idle."""
        self._phase = _IDLE
        context = self._context
        self.deadline = context.clock.now() + context.limits.keep_alive_seconds
        if self._reading_paused:
            self._read_on()
        if self._reader.pending:
            self._advance()

    def _refuse(
        self, error: RequestError, request: Request | None = None, *, keep_alive: bool = False
    ) -> None:
        """Answer a request that the application never gets."""
        request = self._request if request is None else request
        self._request = None
        reply = Reply(
            self,
            self._context,
            keep_alive=keep_alive,
            head_only=request is not None and request.method == "HEAD",
            http10=request is not None and request.version == (1, 0),
        )
        answer(self._context, reply, error)

    def _linger(self) -> None:
        """Read on without keeping anything: closing with bytes unread would reset what was just sent."""
        self._phase = _LINGER
        self._reader.drop()
        self._discard_left = 2 * self._context.limits.body_bytes
        self._expire_in(self._context.limits.linger_seconds)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._read_on()

    def _read_on(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _discard(self, length: int) -> None:
        self._discard_left -= length
        if self._discard_left < 0:
            self._close()

    def _close(self) -> None:
        self._end_reading()
        self._transport.close()

    def _end_reading(self) -> None:
        """What is unsent has ``write_seconds`` to leave, then the watch cuts the connection."""
        self._phase = _CLOSING
        self._request = None
        self._reader.drop()
        self._expire_in(self._context.limits.write_seconds)

    def _depart(self) -> bool:
        """Tell a running reply, once, that nobody reads it; True if there was one."""
        reply, task = self._reply, self._task
        if reply is None:
            return False
        self._reply = self._task = None
        reply.departed = True
        if reply.on_departed is not None:
            reply.on_departed()
        elif task is not None:
            task.cancel()
        return True

    # For the server.

    def close_if_idle(self) -> None:
        """Close unless a request is arriving or being answered."""
        if self._phase is _IDLE:
            self._close()

    def abort(self) -> None:
        """Cut the connection, telling a running reply."""
        self._depart()
        self.cut(reset=False)
