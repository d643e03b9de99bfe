"""The reply to one request: its head, its framing and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from nexus.http.request import Request
from nexus.protocol.headers import Header

_FIELD: Final = b": ".join
_LINES: Final = b"\r\n".join
_BODILESS: Final = frozenset({204, 304})
_KNOWN: Final = frozenset(status.value for status in HTTPStatus)
_HTTP10: Final = (1, 0)


def status_line(status: int) -> bytes:
    """The first line of a reply; of a status that has no name too (RFC 9112 4)."""
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


class Shared(Protocol):
    """The server, as far as a reply needs it."""

    draining: bool
    """Whether replies now end their connections."""

    def head_of(self, status: int) -> bytes:
        """The lines that every reply of this status begins with."""
        ...


class Wire(Protocol):
    """The connection, as far as a reply needs it."""

    def send(self, data: bytes) -> None:
        """Write to the client."""
        ...

    def reply_ended(self, reply: Reply) -> None:
        """The whole reply is written; the connection is free for the next request, or closes."""
        ...

    def cut(self, *, reset: bool) -> None:
        """Close at once; ``reset`` where a plain close would look like the reply's end."""
        ...


class Reply:
    """Answers one request, once: either :meth:`send`, or :meth:`start`, :meth:`write`, :meth:`end`.

    After the client has left every method does nothing.

    Args:
        wire: where it goes.
        shared: the server.
        request: what it answers.

    Attributes:
        keep_alive: whether the connection lives on after this reply.
        task: what makes the reply, if that takes a task.
        started: :meth:`start` or :meth:`send` was called; it is too late for another status.
        ended: the reply is complete or was aborted.
        departed: the client left, or was cut because it took nothing.
        stream: :meth:`start` said that this reply stays open while it is made.
        on_departed: called once when the client leaves before the reply has ended. Without it,
            the handler's task is cancelled.
        on_pause: called when so much is unsent that nothing more should be written for now.
        on_resume: called when writing may go on.
        on_stalled: called, in place of ``on_departed``, when the client took nothing for
            ``write_seconds``; the connection is cut right after.
    """

    __slots__ = (
        "_chunked",
        "_head",
        "_left",
        "_request",
        "_shared",
        "_silent",
        "_until_close",
        "_wire",
        "departed",
        "ended",
        "keep_alive",
        "on_departed",
        "on_pause",
        "on_resume",
        "on_stalled",
        "started",
        "stream",
        "task",
    )

    def __init__(self, wire: Wire, shared: Shared, request: Request) -> None:
        self._wire = wire
        self._shared = shared
        self._request = request
        self._head = b""
        self._chunked = False
        self._silent = request.method == "HEAD"
        self._until_close = False
        self._left: int | None = None
        self.started = False
        self.ended = False
        self.departed = False
        self.stream = False
        self.keep_alive = request.keep_alive
        self.task: asyncio.Task[None] | None = None
        self.on_departed: Callable[[], None] | None = None
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None
        self.on_stalled: Callable[[], None] | None = None

    def send(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Send the whole reply in one write.

        Args:
            status: final, so at least 200.
            headers: without ``Server``, ``Date``, ``Connection`` and framing, which are added.
            body: the content.
        """
        if not self._begin(status, headers, len(body), body):
            return
        self._wire.send(self._head)
        self._finish()

    def start(self, status: int, headers: Sequence[Header], length: int | None, stream: bool = False) -> None:
        """Begin a reply; the head leaves together with the first :meth:`write`.

        Args:
            status: final, so at least 200.
            headers: without ``Server``, ``Date``, ``Connection`` and framing, which are added.
            length: bytes of content; None when unknown: chunked, or for HTTP/1.0 up to the close.
            stream: whether the content is made while it is sent; for those who count streams.
        """
        self.stream = stream
        self._begin(status, headers, length)

    def write(self, data: bytes) -> None:
        """Send a piece of the content; an empty one only sends the head."""
        if self.departed or self.ended:
            return
        head, self._head = self._head, b""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("the reply is longer than its announced length")
        if self._silent or not data:
            data = head
        elif self._chunked:
            data = b"%b%x\r\n%b\r\n" % (head, len(data), data)
        elif head:
            data = head + data
        if data:
            self._wire.send(data)

    def end(self) -> None:
        """Complete the reply; one that is shorter than it announced is aborted instead."""
        if self.departed or self.ended:
            return
        if self._left and not self._silent:
            self.abort()
            return
        last = b"0\r\n\r\n" if self._chunked and not self._silent else b""
        if self._head or last:
            self._wire.send(self._head + last)
        self._finish()

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the reply is not complete."""
        if self.departed or self.ended:
            return
        self.started = self.ended = True
        self._wire.cut(reset=self._until_close)

    def _begin(self, status: int, headers: Sequence[Header], length: int | None, body: bytes = b"") -> bool:
        """Make the head, with ``body`` behind it; False when nobody is there to get it."""
        if self.started:
            raise RuntimeError("the reply was started before")
        self.started = True
        if self.departed:
            return False
        framing = self._frame(status, length)
        if self._silent:
            body = b""
        head = self._shared.head_of(status)
        if headers:
            self._head = b"".join((head, _LINES(map(_FIELD, headers)), b"\r\n", framing, body))
        else:
            self._head = b"".join((head, framing, body))
        return True

    def _frame(self, status: int, length: int | None) -> bytes:
        """Decide how the content ends and whether the connection lives on (RFC 9112 6, 9.3)."""
        http10 = self._request.version == _HTTP10
        bodiless = status in _BODILESS
        if self._shared.draining or (http10 and length is None and not bodiless):
            self.keep_alive = False
        if not self.keep_alive:
            last = b"Connection: close\r\n\r\n"
        elif http10:
            last = b"Connection: keep-alive\r\n\r\n"
        else:
            last = b"\r\n"
        if bodiless:
            self._silent = True
            return last
        if length is not None:
            self._left = length
            return b"Content-Length: %d\r\n%b" % (length, last)
        if http10:
            self._until_close = True
            return last
        self._chunked = True
        return b"Transfer-Encoding: chunked\r\n" + last

    def _finish(self) -> None:
        self._head = b""
        self.ended = True
        self._wire.reply_ended(self)
