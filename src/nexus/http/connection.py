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
import logging
import socket
import struct
from collections.abc import Coroutine
from enum import Enum, auto
from math import inf
from typing import Any, Final, cast

from nexus.errors import RequestError, RequestTimeout, ServerFault, ServiceUnavailable
from nexus.http.body import BodyReader, ChunkedBody, SizedBody, too_large
from nexus.http.context import ServerContext
from nexus.http.head import HeadReader
from nexus.http.reply import Reply
from nexus.http.request import Request

_log: Final = logging.getLogger("nexus.http.server")

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET: Final = struct.pack("ii", 1, 0)


def _full() -> ServiceUnavailable:
    return ServiceUnavailable(
        "Nexus holds as many request bytes as it may; try again.", headers=(("Retry-After", "1"),)
    )


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


class ClientConnection(asyncio.Protocol):
    """Reads requests off one socket and hands them to the application, one at a time."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_context",
        "_discard_left",
        "_head",
        "_held",
        "_peer",
        "_pending",
        "_phase",
        "_reading_paused",
        "_reply",
        "_request",
        "_sent",
        "_serving",
        "_taken",
        "_task",
        "_transport",
        "_writing_paused",
        "deadline",
    )

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._head = HeadReader(context.limits)
        self._transport: asyncio.Transport
        self._peer: str | None = None
        self._phase = Phase.IDLE
        self._pending = b""
        self._request: Request | None = None
        self._body: BodyReader | None = None
        self._body_bytes = 0
        self._held = 0
        self._reply: Reply | None = None
        self._task: asyncio.Task[None] | None = None
        self._sent = 0
        self._taken = 0
        self._discard_left = 0
        self._serving = False
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
        self.deadline = context.clock.now() + context.limits.keep_alive_seconds
        context.watch.add(self)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        phase = self._phase
        if phase is Phase.BODY:
            self._take_body(data)
        elif phase is Phase.LINGER:
            self._discard(len(data))
        elif phase is not Phase.CLOSING:
            self._pending = self._pending + data if self._pending else data
            if phase is Phase.REPLY or self._writing_paused:
                self._hold()
            else:
                self._serve()

    def eof_received(self) -> None:
        """See :class:`asyncio.Protocol`; a client that will not send has left, so the transport closes."""
        if self._depart():
            self.cut(reset=False)
        else:
            self._closing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why does not matter
        """See :class:`asyncio.Protocol`."""
        self._phase = Phase.CLOSING
        self._context.watch.discard(self)
        self._context.connections.discard(self)
        self._pending = b""
        self._body = self._request = None
        self._body_bytes = 0
        self._count_held()
        self._depart()

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`; the client owes us reads."""
        self._writing_paused = True
        self._taken = self._sent - self._transport.get_write_buffer_size()
        self.deadline = self._context.clock.now() + self._context.limits.write_seconds
        if self._reply is not None and self._reply.on_pause is not None:
            self._reply.on_pause()

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self._writing_paused = False
        if self._phase is Phase.REPLY:
            if self._reply is not None and self._reply.on_resume is not None:
                self._reply.on_resume()
        elif self._phase is Phase.IDLE:
            self._rest()

    # What the clock tells.

    def expired(self, now: float) -> None:
        """See :class:`nexus.tasks.Expiring`."""
        phase = self._phase
        if phase is Phase.HEAD:
            self._refuse(RequestTimeout("The request head took too long."))
        elif phase is Phase.BODY:
            self._refuse(RequestTimeout("The request body stopped arriving."))
        elif phase is not Phase.LINGER and (unsent := self._transport.get_write_buffer_size()):
            self._check_taking(now, unsent)
        elif phase is Phase.REPLY:
            self.deadline = now + self._context.limits.write_seconds
        elif phase is Phase.IDLE:
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
        if reply is not None:
            self._reply = None
            reply.departed = True
            if reply.on_stalled is not None:
                reply.on_stalled()
        self.cut(reset=False)

    # Reading: bytes to messages.

    def _serve(self) -> None:
        """Take messages out of the pending bytes until one needs more bytes or more time."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._pending and self._ready() and self._take_message():
                pass
        except RequestError as error:
            self._refuse(error)
        finally:
            self._serving = False

    def _ready(self) -> bool:
        return not self._writing_paused and (self._phase is Phase.IDLE or self._phase is Phase.HEAD)

    def _take_message(self) -> bool:
        """Begin with the next message; False when its head is not complete."""
        data = self._pending
        if data[0] in b"\r\n":
            # Empty lines before a request are ignored (RFC 9112 2.2).
            data = self._pending = data.lstrip(b"\r\n")
            if not data:
                return False
        request = self._head.read(data)
        if request is None:
            if self._phase is Phase.IDLE:
                self._phase = Phase.HEAD
                self.deadline = self._context.clock.now() + self._context.limits.head_seconds
            return False
        self._pending = data[self._head.end :]
        request.peer = self._peer
        try:
            self._check_room(request.length)
            self._context.app.admit(request)
        except RequestError as error:
            self._refuse(error, request=request, keep_alive=self._skip_body(request))
            return True
        self._expect_body(request)
        return True

    def _check_room(self, length: int | None) -> None:
        if not length:
            return
        limits = self._context.limits
        if length > limits.body_bytes:
            raise too_large(limits)
        if self._context.buffered + length > limits.buffered_bytes:
            raise _full()

    def _skip_body(self, request: Request) -> bool:
        """Drop a refused request's body if all of it is here: then the connection can be used again."""
        length = request.length
        if not request.keep_alive or length is None or length > len(self._pending):
            return False
        self._pending = self._pending[length:]
        return True

    def _expect_body(self, request: Request) -> None:
        length = request.length
        pending = self._pending
        if length == 0:
            self._dispatch(request)
        elif length is not None and length <= len(pending):
            request.body = pending[:length]
            self._pending = pending[length:]
            self._dispatch(request)
        else:
            self._phase = Phase.BODY
            self._request = request
            self._body = ChunkedBody(self._context.limits) if length is None else SizedBody(length)
            self._pending = b""
            if pending:
                self._take_body(pending)
            else:
                self.deadline = self._context.clock.now() + self._context.limits.body_seconds
                if request.expects_continue:
                    self.send(_CONTINUE)

    def _take_body(self, data: bytes) -> None:
        body, request = self._body, self._request
        if body is None or request is None:
            return
        try:
            rest = body.feed(data)
            self._body_bytes = body.size
            self._count_held()
            if self._context.buffered > self._context.limits.buffered_bytes:
                raise _full()
        except RequestError as error:
            self._refuse(error, request=request)
            return
        if rest is None:
            self.deadline = self._context.clock.now() + self._context.limits.body_seconds
            return
        request.body = body.whole()
        self._body = self._request = None
        self._pending = rest
        self._dispatch(request)

    def _dispatch(self, request: Request) -> None:
        """Hand a complete request to the application."""
        context = self._context
        request.received_at = now = context.clock.now()
        self.deadline = now + context.limits.write_seconds
        self._phase = Phase.REPLY
        self._body_bytes = len(request.body)
        self._count_held()
        reply = self._reply = Reply(
            self,
            keep_alive=request.keep_alive,
            head_only=request.method == "HEAD",
            http10=request.version == (1, 0),
        )
        try:
            coroutine = context.app.handle(request, reply)
        except RequestError as error:
            self._answer_error(reply, error)
        except Exception:  # noqa: BLE001  # logged and answered: one request's defect stays its own
            self._fail(reply)
        else:
            if coroutine is not None:
                self._task = context.tasks.spawn(self._run(coroutine, reply), "request")

    async def _run(self, coroutine: Coroutine[Any, Any, None], reply: Reply) -> None:
        """The request's one task: whatever happens in it, the reply has an end."""
        try:
            await coroutine
        except RequestError as error:
            self._answer_error(reply, error)
        except Exception:  # noqa: BLE001  # logged and answered: one request's defect stays its own
            self._fail(reply)
        finally:
            if not reply.ended and not reply.departed:
                _log.error("the handler of a request left its reply unfinished")
                reply.abort()

    def _answer_error(self, reply: Reply, error: RequestError) -> None:
        if reply.started:
            self._fail(reply)
        else:
            body, headers = self._rendered(error)
            reply.send(error.status, headers, body)

    def _fail(self, reply: Reply) -> None:
        """A defect of ours: 500 if that can still be said, else the connection is cut."""
        _log.exception("the handler of a request failed")
        if reply.started:
            reply.abort()
        else:
            body, headers = self._rendered(ServerFault("Nexus failed to handle this request."))
            reply.send(500, headers, body)

    def _hold(self) -> None:
        """Let bytes wait until the reply has ended, as many as one connection may hold."""
        self._count_held()
        limits = self._context.limits
        if len(self._pending) > limits.pipelined_bytes or self._context.buffered > limits.buffered_bytes:
            self._reading_paused = True
            self._transport.pause_reading()

    def _count_held(self) -> None:
        held = self._body_bytes + len(self._pending)
        self._context.buffered += held - self._held
        self._held = held

    # Writing, for the reply.

    def date_line(self) -> bytes:
        """See :class:`nexus.http.reply.Wire`."""
        return self._context.date_line()

    def draining(self) -> bool:
        """See :class:`nexus.http.reply.Wire`."""
        return self._context.draining

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
        elif self._pending:
            self._linger()
        else:
            self._close()
        self._count_held()

    def cut(self, *, reset: bool) -> None:
        """See :class:`nexus.http.reply.Wire`."""
        self._closing()
        self._reply = self._task = None
        if reset and (sock := self._transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    # The ways on and out.

    def _rest(self) -> None:
        """The connection is free: for the next pending message, or idle."""
        self._phase = Phase.IDLE
        self.deadline = self._context.clock.now() + self._context.limits.keep_alive_seconds
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if self._pending:
            self._serve()

    def _refuse(
        self, error: RequestError, *, request: Request | None = None, keep_alive: bool = False
    ) -> None:
        """Answer a request that the application never gets."""
        self._body = self._request = None
        reply = Reply(
            self,
            keep_alive=keep_alive,
            head_only=request is not None and request.method == "HEAD",
            http10=request is not None and request.version == (1, 0),
        )
        if not keep_alive:
            # Whatever is pending belongs to the refused message: read on before closing.
            self._pending = self._pending or b"\0"
        body, headers = self._rendered(error)
        reply.send(error.status, headers, body)

    def _rendered(self, error: RequestError) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        headers = [(b"Content-Type", b"application/json")]
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers]
        return self._context.refuse(error), headers

    def _linger(self) -> None:
        """Read on without keeping anything: closing with bytes unread would reset what we just sent."""
        self._phase = Phase.LINGER
        self._pending = b""
        self._discard_left = 2 * self._context.limits.body_bytes
        self.deadline = self._context.clock.now() + self._context.limits.linger_seconds
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _discard(self, length: int) -> None:
        self._discard_left -= length
        if self._discard_left < 0:
            self._close()

    def _close(self) -> None:
        self._closing()
        self._transport.close()

    def _closing(self) -> None:
        """What is unsent has ``write_seconds`` to leave."""
        self._phase = Phase.CLOSING
        self._pending = b""
        self.deadline = self._context.clock.now() + self._context.limits.write_seconds

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
        if self._phase is Phase.IDLE and not self._pending:
            self._close()

    def abort(self) -> None:
        """Cut the connection, telling a running reply."""
        self._depart()
        self.cut(reset=False)
