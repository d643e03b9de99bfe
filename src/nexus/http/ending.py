"""The ways in which a client connection ends.

Laws held here:

* Whatever way a connection ends, it passes :meth:`EndingConnection.connection_lost`, which leaves
  nothing behind: no deadline, no counted byte, no reply that believes it is read.
* A refusal, and what a client is still to read, leave before the connection does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import Enum, auto
from math import inf
from typing import Final

from nexus.http.context import ServerContext
from nexus.http.reader import RequestReader
from nexus.http.reply import Reply
from nexus.http.request import Request

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
    """The last reply is sent; what still comes is thrown away, so that the client reads it."""
    CLOSING = auto()
    """Nothing more is read; what is unsent may still leave."""


# Looking a member up in its class costs more than everything else done with it.
IDLE: Final = Phase.IDLE
HEAD: Final = Phase.HEAD
BODY: Final = Phase.BODY
REPLY: Final = Phase.REPLY
LINGER: Final = Phase.LINGER
CLOSING: Final = Phase.CLOSING


class EndingConnection:
    """A connection's state, its writes and its ends; requests are read by a subclass.

    Args:
        context: what this server's connections share.

    Attributes:
        deadline: see :class:`nexus.tasks.Expiring`.
    """

    __slots__ = (
        "_advancing",
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
        "_transport",
        "_writing_paused",
        "deadline",
    )

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._reader = RequestReader(context.limits)
        self._transport: asyncio.Transport
        self._peer: str | None = None
        self._phase = IDLE
        self._request: Request | None = None
        self._reply: Reply | None = None
        self._held = 0
        self._sent = 0
        self._taken = 0
        self._discard_left = 0
        self._advancing = False
        self._reading_paused = False
        self._writing_paused = False
        self.deadline = inf

    # What the transport tells.

    def eof_received(self) -> None:
        """See :class:`asyncio.Protocol`; who will send no more has left, so the transport closes."""
        if self._depart():
            self.cut(reset=False)
        else:
            self._end_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why does not matter
        """See :class:`asyncio.Protocol`."""
        self._end_reading()
        self._count_held(0)
        self._context.watch.discard(self)
        self._context.connections.discard(self)
        self._depart()

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`; the client owes us reads."""
        self._writing_paused = True
        self._taken = self._sent - self._transport.get_write_buffer_size()
        self._expire_in(self._context.limits.write_seconds)
        if self._reply is not None and self._reply.source is not None:
            self._reply.source.pause()

    # What the clock tells, while a reply runs and after the last one.

    def expired(self, now: float) -> None:
        """See :class:`nexus.tasks.Expiring`; a request that is late is the subclass's matter."""
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            self._check_taking(now, unsent)
        elif self._phase is REPLY:
            self._expire_in(self._context.limits.write_seconds)
        elif self._phase is IDLE:
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
        if reply is not None and reply.watcher is not None:
            self._reply = None
            reply.departed = True
            reply.watcher.stalled()
        else:
            self._depart()
        self.cut(reset=False)

    def _expire_in(self, seconds: float) -> None:
        self.deadline = self._context.clock.now() + seconds

    # Writing, for the reply.

    def send(self, data: bytes) -> None:
        """Write to the client."""
        self._sent += len(data)
        self._transport.write(data)

    def cut(self, *, reset: bool) -> None:
        """Close at once; ``reset`` where a plain close would look like the reply's end."""
        self._end_reading()
        self._reply = None
        if reset and (sock := self._transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    # The ways out.

    def _linger(self) -> None:
        """Read on without keeping anything: closing with bytes unread would reset what was just sent."""
        self._phase = LINGER
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
        self._phase = CLOSING
        self._request = None
        self._reader.drop()
        self._expire_in(self._context.limits.write_seconds)

    def _depart(self) -> bool:
        """Tell a running reply, once, that nobody reads it; True if there was one."""
        reply = self._reply
        if reply is None:
            return False
        self._reply = None
        reply.departed = True
        if reply.watcher is not None:
            reply.watcher.departed()
        elif reply.task is not None:
            reply.task.cancel()
        return True

    def _count_held(self, body: int) -> None:
        """Count what is held of requests: ``body`` bytes of the one that is answered, and the rest."""
        reader = self._reader
        held = body + len(reader.pending) + reader.partial
        if held != self._held:
            self._context.buffered += held - self._held
            self._held = held

    # For the server.

    def close_if_idle(self) -> None:
        """Close unless a request is arriving or being answered."""
        if self._phase is IDLE:
            self._close()

    def abort(self) -> None:
        """Cut the connection, telling a running reply."""
        self._depart()
        self.cut(reset=False)
