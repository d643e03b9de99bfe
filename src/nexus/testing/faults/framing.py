"""Faults of HTTP itself: lengths that lie, bodies that are missing, older protocols."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nexus.testing.faults.base import End, Exchange, Fault, Pause, Step, gated
from nexus.testing.reply import Framing


@dataclass(frozen=True)
class EmptyBody(Fault):
    """200 with no body at all."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send a head and the end of the body."""
        yield from exchange.send(replace(exchange.reply, events=(), joined=frozenset()))


@dataclass(frozen=True)
class BothLengths(Fault):
    """Both ``Content-Length`` and ``Transfer-Encoding`` (RFC 9112 6.3: an attack or a broken server)."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send a chunked reply that also announces a length."""
        reply = replace(exchange.reply, framing=Framing.CHUNKED)
        length = str(len(reply.body)).encode()
        head = exchange.head(reply)[:-2] + b"Content-Length: %s\r\n\r\n" % length
        yield head + exchange.body(reply)
        yield End.FIN


@dataclass(frozen=True)
class OverLong(Fault):
    """A body longer than its ``Content-Length``: bytes follow a complete reply."""

    extra: bytes = b'{"surplus":true}'

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the reply and more."""
        reply = replace(exchange.reply, framing=Framing.LENGTH)
        yield exchange.head(reply) + exchange.body(reply) + self.extra
        yield End.KEEP


@dataclass(frozen=True)
class Short(Fault):
    """A body shorter than its ``Content-Length``, then the end.

    Args:
        missing: how many announced bytes never come.
        gate: wait for this event before ending.
    """

    missing: int = 10
    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Announce more than is sent."""
        reply = replace(exchange.reply, framing=Framing.LENGTH)
        yield exchange.head(reply, length=len(reply.body) + self.missing) + reply.body
        yield from gated(self.gate)
        yield End.FIN


@dataclass(frozen=True)
class BadChunk(Fault):
    """A chunk size that is no number, after ``at_event`` events."""

    at_event: int = 1
    size: bytes = b"zz"

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send a chunked reply that breaks its own framing."""
        exchange.reply = replace(exchange.reply, framing=Framing.CHUNKED)
        yield exchange.head() + exchange.halves(self.at_event)[0] + self.size + b"\r\n"
        yield Pause(seconds=0.0)
        yield End.FIN


@dataclass(frozen=True)
class Http10(Fault):
    """An HTTP/1.0 reply that ends with the connection, as mlx-lm sends (measured)."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the reply without a length."""
        reply = replace(exchange.reply, framing=Framing.CLOSE, version=b"HTTP/1.0")
        exchange.close = True
        yield from exchange.send(reply)


@dataclass(frozen=True)
class Interim(Fault):
    """Informational replies (1xx) before the real one (RFC 9110 15.2).

    Args:
        codes: their statuses, in order.
    """

    codes: tuple[int, ...] = (103,)

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send them, then the reply."""
        for code in self.codes:
            yield b"HTTP/1.1 %d Interim\r\nLink: </x>\r\n\r\n" % code
        yield from exchange.send(exchange.reply)


@dataclass(frozen=True)
class Gzip(Fault):
    """A reply in a content coding that nobody asked for."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the body compressed."""
        packed = gzip.compress(exchange.reply.body, mtime=0)
        reply = replace(exchange.reply, events=(packed,), joined=frozenset())
        yield from exchange.send(reply.with_headers([("Content-Encoding", "gzip")]))


@dataclass(frozen=True)
class Headers(Fault):
    """The usual reply with more header lines, such as ``Set-Cookie``.

    Args:
        extra: name and value pairs.
    """

    extra: tuple[tuple[str, str], ...]

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the reply."""
        yield from exchange.send(exchange.reply.with_headers(self.extra))
