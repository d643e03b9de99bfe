"""What a fault is: a frozen value that turns a reply into steps on the wire."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

from nexus.testing.dialects.base import Dialect
from nexus.testing.models import RecordedRequest, ServerState
from nexus.testing.reply import Framing, Reply


class Stage(Enum):
    """Where in an exchange a fault strikes."""

    ACCEPT = "accept"
    BEFORE_HEAD = "before_head"
    HEAD = "head"
    AFTER_HEAD = "after_head"
    BODY = "body"


class End(Enum):
    """How an exchange leaves its connection."""

    KEEP = "keep"
    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for an event, for seconds, or, with neither, until the client leaves."""

    event: asyncio.Event | None = None
    seconds: float | None = None


Step = bytes | Pause | End


@dataclass(slots=True)
class Exchange:
    """One request with the reply that the server would make.

    Attributes:
        request: as received.
        reply: what goes out unless a fault changes it.
        dialect: the type of server.
        state: what it serves.
        close: the connection ends after the reply (the client said so, or HTTP/1.0).
    """

    request: RecordedRequest
    reply: Reply
    dialect: Dialect
    state: ServerState
    close: bool = False

    def head(self, reply: Reply | None = None, *, length: int | None = None) -> bytes:
        """Return the head of the reply (or of another)."""
        extra = () if self.close else self.dialect.keep_alive
        return (reply or self.reply).head(close=self.close, length=length, extra=extra)

    def body(self, reply: Reply | None = None) -> bytes:
        """Return the framed body, its end included."""
        shown = reply or self.reply
        if self.request.method == "HEAD":
            return b""
        return b"".join(shown.frames()) + shown.tail()

    def send(self, reply: Reply) -> Iterator[Step]:
        """Send a whole reply."""
        yield self.head(reply) + self.body(reply)
        yield End.FIN if reply.framing is Framing.CLOSE else End.KEEP

    def paced(self, seconds: float) -> Iterator[Step]:
        """Send the usual reply, a stream with ``seconds`` between its chunks."""
        if not self.reply.stream or self.request.method == "HEAD":
            yield from self.send(self.reply)
            return
        yield self.head()
        for frame in self.reply.frames():
            yield frame
            yield Pause(seconds=seconds)
        yield self.reply.tail()
        yield End.KEEP

    def halves(self, at_event: int) -> tuple[bytes, bytes]:
        """Split the framed body after ``at_event`` events; a body that is no stream in its middle."""
        reply = self.reply
        if reply.stream:
            at = reply.position(at_event)
        else:
            body = reply.body
            middle = len(body) // 2 if at_event else 0
            reply = replace(reply, events=(body[:middle], body[middle:]), joined=frozenset())
            at = 1
        return b"".join(reply.frames(0, at)), b"".join(reply.frames(at)) + reply.tail()


class Fault(ABC):
    """Something that goes wrong, or merely differently, with one reply."""

    streams_only: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """Name under which the fleet counts it: the class's own."""
        return type(self).__name__

    @abstractmethod
    def steps(self, exchange: Exchange) -> Iterator[Step]:
        """Yield what happens on the wire."""


def gated(gate: asyncio.Event | None) -> Iterator[Step]:
    """Wait for ``gate``, if there is one."""
    if gate is not None:
        yield Pause(gate)
