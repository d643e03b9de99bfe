"""Faults inside an event stream. Each applies to streamed replies only unless it says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from nexus.testing.dialects.names import MESSAGES, RESPONSES
from nexus.testing.faults.base import End, Exchange, Fault, Step, gated


def error_events(exchange: Exchange) -> tuple[bytes, ...]:
    """Return the error event of this server on this surface, and what it sends after it."""
    surface = exchange.request.surface
    if surface == MESSAGES:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return (b"event: error\ndata: " + msgspec.json.encode(error) + b"\n\n",)
    if surface == RESPONSES:
        failed = {"type": "error", "code": "server_error", "message": "the fake failed", "param": None}
        return (b"event: error\ndata: " + msgspec.json.encode({**failed, "sequence_number": 1}) + b"\n\n",)
    return exchange.dialect.stream_error()


@dataclass(frozen=True)
class ErrorEventFirst(Fault):
    """A stream whose first event is an error."""

    streams_only = True

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send it alone."""
        yield from exchange.send(replace(exchange.reply, events=error_events(exchange), joined=frozenset()))


@dataclass(frozen=True)
class ErrorEventMid(Fault):
    """An error event after ``at_event`` events, then what this server sends after one, and a clean end."""

    at_event: int = 2
    gate: asyncio.Event | None = None
    streams_only = True

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the events, the error, the end."""
        yield exchange.head() + exchange.halves(self.at_event)[0]
        yield from gated(self.gate)
        rest = replace(exchange.reply, events=error_events(exchange), joined=frozenset())
        yield exchange.body(rest)
        yield End.KEEP


@dataclass(frozen=True)
class EndWithoutDone(Fault):
    """A clean end after ``at_event`` events, with neither a finish reason nor ``[DONE]``."""

    at_event: int = 2
    gate: asyncio.Event | None = None
    streams_only = True

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the events and the end."""
        yield exchange.head() + exchange.halves(self.at_event)[0]
        yield from gated(self.gate)
        yield exchange.reply.tail()
        yield End.KEEP


@dataclass(frozen=True)
class CutStream(Fault):
    """FIN without a terminal chunk after ``at_event`` events.

    A reply that is no stream is cut in its middle.
    """

    at_event: int = 2
    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the events, then end the connection."""
        yield exchange.head() + exchange.halves(self.at_event)[0]
        yield from gated(self.gate)
        yield End.FIN


@dataclass(frozen=True)
class Death(Fault):
    """The server dies after ``at_event`` events, in its own way.

    llama.cpp's process ends without a terminal chunk, vLLM reports its engine and sends
    ``[DONE]``, Ollama's stream ends cleanly with an empty delta (all measured).
    """

    at_event: int = 2
    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the events, then die."""
        events, clean = exchange.dialect.death()
        yield exchange.head() + exchange.halves(self.at_event)[0]
        yield from gated(self.gate)
        if not exchange.reply.stream or not clean:
            yield End.FIN
            return
        yield exchange.body(replace(exchange.reply, events=events, joined=frozenset()))
        yield End.KEEP


@dataclass(frozen=True)
class Comments(Fault):
    """SSE comments before the first event: life, but no first byte.

    Args:
        count: how many.
        text: of each; mlx-lm sends ``keepalive 0/17`` (measured), exo ``keep-alive``.
        gate: wait for this event between the comments and the reply.
    """

    count: int = 1
    text: str = "keep-alive"
    gate: asyncio.Event | None = None
    streams_only = True

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the comments, then the reply."""
        comment = b": %s\n\n" % self.text.encode()
        prelude = replace(exchange.reply, events=(comment,) * self.count, joined=frozenset())
        yield exchange.head() + b"".join(prelude.frames())
        yield from gated(self.gate)
        yield exchange.body()
        yield End.KEEP
