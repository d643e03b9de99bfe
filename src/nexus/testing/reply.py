"""One reply as a value: what goes on the wire unless a fault says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from typing import Final

import msgspec

from nexus.testing.fixtures import Header

_FRAMING: Final = (b"content-length", b"transfer-encoding")
END_OF_CHUNKS: Final = b"0\r\n\r\n"


class Framing(Enum):
    """How the end of a body is told (RFC 9112 section 6)."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(slots=True)
class Reply:
    """A reply before it is put into bytes.

    Attributes:
        status: the status code.
        headers: in order, framing headers included as the server places them.
        events: the body in pieces: server-sent events, or one element.
        joined: positions of pieces that share a chunk with the piece before.
        framing: how the body's end is told.
        stream: whether the body is an event stream.
        reason: the reason phrase; empty looks it up.
        version: the protocol version of the status line.
    """

    status: int
    headers: tuple[Header, ...] = ()
    events: tuple[bytes, ...] = ()
    joined: frozenset[int] = field(default_factory=frozenset)
    framing: Framing = Framing.LENGTH
    stream: bool = False
    reason: bytes = b""
    version: bytes = b"HTTP/1.1"

    @property
    def body(self) -> bytes:
        """The body without framing."""
        return b"".join(self.events)

    def head(self, *, close: bool = False, length: int | None = None, extra: Iterable[Header] = ()) -> bytes:
        """Return status line and headers.

        Args:
            close: announce that the connection ends after this reply.
            length: a ``Content-Length`` other than the body's own.
            extra: header lines to append.
        """
        lines = [b"%s %d %s" % (self.version, self.status, self.reason or _reason(self.status))]
        placed = False
        for name, value in self.headers:
            lower = name.lower()
            if lower not in _FRAMING:
                lines.append(b"%s: %s" % (name, value))
            elif not placed and (line := self._framing_line(name, length)):
                lines.append(line)
                placed = True
        if not placed and (line := self._framing_line(b"", length)):
            lines.append(line)
        if close:
            lines.append(b"Connection: close")
        lines += [b"%s: %s" % header for header in extra]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _framing_line(self, name: bytes, length: int | None) -> bytes:
        lower_case = name.islower()
        if self.framing is Framing.CHUNKED:
            return b"transfer-encoding: chunked" if lower_case else b"Transfer-Encoding: chunked"
        if self.framing is Framing.CLOSE:
            return b""
        count = sum(map(len, self.events)) if length is None else length
        return b"%s: %d" % (b"content-length" if lower_case else b"Content-Length", count)

    def frames(self, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return the pieces ``start`` to ``stop`` as framed bytes, one element a chunk."""
        groups: list[list[bytes]] = []
        for at, event in enumerate(self.events[start:stop], start):
            if at in self.joined and groups:
                groups[-1].append(event)
            else:
                groups.append([event])
        bodies = [b"".join(group) for group in groups]
        if self.framing is Framing.CHUNKED:
            return [b"%x\r\n%s\r\n" % (len(body), body) for body in bodies if body]
        return bodies

    def tail(self) -> bytes:
        """Return the bytes that tell the end of the body."""
        return END_OF_CHUNKS if self.framing is Framing.CHUNKED else b""

    def position(self, data_events: int) -> int:
        """Return how many pieces hold the first ``data_events`` events, comments not counted."""
        seen = 0
        for at, event in enumerate(self.events):
            if seen == data_events and not event.startswith(b":"):
                return at
            seen += not event.startswith(b":")
        return len(self.events)

    def with_headers(self, extra: Mapping[str, str] | Iterable[tuple[str, str]]) -> Reply:
        """Return a copy with more header lines."""
        pairs = extra.items() if isinstance(extra, Mapping) else extra
        more = tuple((name.encode(), value.encode()) for name, value in pairs)
        return replace(self, headers=self.headers + more)


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


def json_reply(status: int, value: object, headers: tuple[Header, ...] = ()) -> Reply:
    """Return a JSON reply."""
    return Reply(status, ((b"Content-Type", b"application/json"), *headers), (msgspec.json.encode(value),))
