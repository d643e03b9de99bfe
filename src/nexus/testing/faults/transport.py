"""Faults of the connection: nothing of HTTP is wrong, the bytes do not come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from nexus.testing.faults.base import End, Exchange, Fault, Pause, Stage, Step, gated


@dataclass(frozen=True)
class Refuse(Fault):
    """Reset this connection and close the listener: whoever comes next is refused.

    The backend listens again when ``until`` is set, or by ``await backend.start()``.
    """

    until: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:  # noqa: ARG002 - nothing of it is sent
        """Reset; the backend itself closes the listener."""
        yield End.RST


@dataclass(frozen=True)
class Reset(Fault):
    """Reset the connection (RST).

    Args:
        stage: ``BEFORE_HEAD``, ``HEAD`` or ``BODY``.
        at_byte: how many bytes of head or body leave first; in the head, half of it when 0.
        gate: wait for this event before resetting.
    """

    stage: Stage = Stage.BEFORE_HEAD
    at_byte: int = 0
    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send what was asked for, then reset."""
        head = exchange.head()
        if self.stage is Stage.HEAD:
            yield head[: self.at_byte or len(head) // 2]
        elif self.stage in {Stage.AFTER_HEAD, Stage.BODY}:
            yield head + exchange.body()[: self.at_byte]
        yield from gated(self.gate)
        yield End.RST


@dataclass(frozen=True)
class Stall(Fault):
    """Fall silent with the socket open.

    Args:
        stage: ``ACCEPT`` (the request is never read), ``BEFORE_HEAD``, ``AFTER_HEAD`` or ``BODY``.
        at_event: in the body, how many events leave first; half of a body that is no stream.
        release: the rest follows when this is set; without it, never.
    """

    stage: Stage = Stage.BEFORE_HEAD
    at_event: int = 1
    release: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send the part before the silence, wait, send the rest."""
        head = exchange.head()
        first, rest = exchange.halves(self.at_event if self.stage is Stage.BODY else 0)
        if self.stage is Stage.HEAD:
            yield head[: len(head) // 2]
            head = head[len(head) // 2 :]
        elif self.stage in {Stage.AFTER_HEAD, Stage.BODY}:
            yield head + first
            head = first = b""
        yield Pause(self.release)
        yield head + first + rest
        yield End.KEEP


@dataclass(frozen=True)
class Delay(Fault):
    """Answer later, as prefill does.

    Args:
        seconds: of the backend's clock, before the head.
        event: wait for this instead.
    """

    seconds: float | None = None
    event: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Wait, then reply as usual."""
        yield Pause(self.event, self.seconds)
        yield from exchange.send(exchange.reply)


@dataclass(frozen=True)
class Drip(Fault):
    """Send the reply in pieces of a few bytes.

    Args:
        bytes_per_write: size of a piece.
        interval: seconds between pieces.
        head: whether the head drips too.
    """

    bytes_per_write: int = 1
    interval: float = 0.0
    head: bool = True

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send piece by piece."""
        whole = exchange.body()
        if self.head:
            whole = exchange.head() + whole
        else:
            yield exchange.head()
        for at in range(0, len(whole), self.bytes_per_write):
            yield whole[at : at + self.bytes_per_write]
            yield Pause(seconds=self.interval)
        yield End.KEEP


@dataclass(frozen=True)
class Garbage(Fault):
    """Answer with bytes that are not HTTP, then end.

    Args:
        data: what is sent; by default the start of a TLS alert.
        close: end the connection after it.
    """

    data: bytes = b"\x15\x03\x01\x00\x02\x02\x16 this is not HTTP\r\n\r\n"
    close: bool = True

    def steps(self, exchange: Exchange) -> Iterator[Step]:  # noqa: ARG002 - nothing of it is sent
        """Send the bytes."""
        yield self.data
        yield End.FIN if self.close else Pause()


@dataclass(frozen=True)
class CloseSilently(Fault):
    """End the connection (FIN) without a byte, as a killed llama.cpp does before its first byte."""

    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:  # noqa: ARG002 - nothing of it is sent
        """End."""
        yield from gated(self.gate)
        yield End.FIN


@dataclass(frozen=True)
class CompleteThenReset(Fault):
    """Send the whole reply, then reset: a success."""

    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send all, then reset."""
        yield exchange.head() + exchange.body()
        yield from gated(self.gate)
        yield End.RST


@dataclass(frozen=True)
class CompleteThenClose(Fault):
    """Send the whole reply with keep-alive, then end the connection: a pooled one turns stale."""

    gate: asyncio.Event | None = None

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Send all, then end."""
        yield exchange.head() + exchange.body()
        yield from gated(self.gate)
        yield End.FIN
