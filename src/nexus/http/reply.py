"""The reply to one request: its head, its framing and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from nexus.http.request import HTTP10, HTTP11, Request
from nexus.protocol.headers import Header

if TYPE_CHECKING:
    from nexus.http.connection import ClientConnection
    from nexus.http.context import ServerContext

_FIELD: Final = b": ".join
_LINES: Final = b"\r\n".join
_BODILESS: Final = frozenset({204, 304})
_KNOWN: Final = frozenset(status.value for status in HTTPStatus)
_CLOSE: Final = b"Connection: close\r\n\r\n"


def status_line(status: int) -> bytes:
    """The first line of a reply; of a status that has no name too (RFC 9112 4)."""
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


class Watcher(Protocol):
    """Wants to know of a client that leaves before its reply has ended."""

    def departed(self) -> None:
        """Called once."""
        ...

    def stalled(self) -> None:
        """Called in its place when the client took nothing for ``write_seconds``; it is cut right after."""
        ...


class Source(Protocol):
    """Where what is written comes from."""

    def pause(self) -> None:
        """Called when nothing more should be written for now."""
        ...

    def resume(self) -> None:
        """Called when writing may go on."""
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
        watcher: told when the client leaves. Without one, the handler's task is cancelled.
        source: stopped while so much is unsent that nothing more should be written.
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
        "source",
        "started",
        "task",
        "watcher",
    )

    def __init__(self, wire: ClientConnection, shared: ServerContext, request: Request) -> None:
        self._wire = wire
        self._shared = shared
        self._request = request
        self._silent = request.method == "HEAD"
        self.started = False
        self.ended = False
        self.departed = False
        self.keep_alive = request.keep_alive
        self.task: asyncio.Task[None] | None = None
        self.watcher: Watcher | None = None
        self.source: Source | None = None

    def send(self, status: int, headers: Sequence[Header], body: bytes, lines: bytes = b"") -> None:
        """Send the whole reply in one write.

        Args:
            status: final, so at least 200.
            headers: without ``Server``, ``Date``, ``Connection`` and framing, which are added.
            body: the content.
            lines: further fields, ready to be sent: each ends with a line break.
        """
        if self.started:
            raise RuntimeError("the reply was started before")
        self.started = True
        if self.departed:
            return
        fields = b"%b\r\n%b" % (_LINES(map(_FIELD, headers)), lines) if headers else lines
        if self._silent or self._shared.draining or self._request.version != HTTP11 or status in _BODILESS:
            framing = self._frame(status, len(body))
            content = b"" if self._silent else body
        else:
            framing = b"Content-Length: %d\r\n%b" % (len(body), b"\r\n" if self.keep_alive else _CLOSE)
            content = body
        self._wire.send(b"".join((self._shared.head_of(status), fields, framing, content)))
        self.ended = True
        self._wire.reply_ended(self)

    def start(self, status: int, headers: Sequence[Header], length: int | None, lines: bytes = b"") -> None:
        """Begin a reply; the head leaves together with the first :meth:`write`.

        Args:
            status: final, so at least 200.
            headers: without ``Server``, ``Date``, ``Connection`` and framing, which are added.
            length: bytes of content; None when unknown: chunked, or for HTTP/1.0 up to the close.
            lines: as for :meth:`send`.
        """
        if self.started:
            raise RuntimeError("the reply was started before")
        self.started = True
        self._head = b""
        self._left = length
        self._chunked = self._until_close = False
        if self.departed:
            return
        fields = b"%b\r\n%b" % (_LINES(map(_FIELD, headers)), lines) if headers else lines
        self._head = b"".join((self._shared.head_of(status), fields, self._frame(status, length)))

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
        reset = self.started and self._until_close
        self.started = self.ended = True
        self._wire.cut(reset=reset)

    def _frame(self, status: int, length: int | None) -> bytes:
        """Decide how the content ends and whether the connection lives on (RFC 9112 6, 9.3)."""
        http10 = self._request.version == HTTP10
        bodiless = status in _BODILESS
        if self._shared.draining or (http10 and length is None and not bodiless):
            self.keep_alive = False
        if not self.keep_alive:
            last = _CLOSE
        elif http10:
            last = b"Connection: keep-alive\r\n\r\n"
        else:
            last = b"\r\n"
        if bodiless:
            self._silent = True
            self._left = None
            return last
        if length is not None:
            return b"Content-Length: %d\r\n%b" % (length, last)
        if http10:
            self._until_close = True
            return last
        self._chunked = True
        return b"Transfer-Encoding: chunked\r\n" + last

    def _finish(self) -> None:
        self.ended = True
        self._wire.reply_ended(self)
