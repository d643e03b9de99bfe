"""One client request from its first byte to its single Outcome.

Law: an ``Exchange`` publishes exactly one ``Outcome``, on every way out, and no way out awaits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Final, Protocol

from nexus.domain import Attempt, FailureKind, Usage
from nexus.errors import RequestError, ServerFault, ServiceUnavailable
from nexus.gateway.failures import EVENT_TEXT
from nexus.gateway.trail import Trail
from nexus.http.server import Reply, Request
from nexus.protocol.error_body import error_event, render
from nexus.protocol.headers import X_NEXUS_ATTEMPTS, X_NEXUS_REQUEST_ID, Header, lines_of
from nexus.protocol.surfaces import StreamEnd, Surface
from nexus.routing.decision import Decision
from nexus.stepping import Stepped, Wait

_log: Final = logging.getLogger("nexus.gateway")

JSON_TYPE: Final[Header] = (b"Content-Type", b"application/json")


class Owner(Protocol):
    """Who knows what runs."""

    @property
    def running(self) -> set[Exchange]:
        """Entered and not yet left."""
        ...

    def ended(self, exchange: Exchange) -> None:
        """Publish the one outcome of an exchange that was left."""
        ...


class Exchange(Stepped):
    """One request: its record, written to by dispatch and relay, and the work that answers it.

    Inside its scope an error of ours becomes the answer and a cut becomes the end; leaving it, on
    every way out, publishes the outcome.

    Args:
        owner: knows what runs, and publishes.
        request, reply: both ends of the client's connection.
        surface: what was asked.
        request_id: goes upstream and comes back in ``X-Nexus-Request-Id``.
        wall: Unix seconds now.
        cors: further headers that every reply to this request carries.

    Attributes:
        lines: headers that every reply to this request carries, ready to be sent.
        started: monotonic seconds at which the request was complete.
        decision: the last one, or ``None``.
        attempts: ended leases in order.
        cause: why the exchange was cut from outside, or ``None``.
        said: the beginning of the reply's words, while content is logged.
        trail: what is kept for those who ask later.
    """

    __slots__ = (
        "_owner",
        "attempts",
        "bytes_out",
        "cause",
        "decision",
        "error",
        "first_byte",
        "lines",
        "model",
        "reply",
        "request",
        "request_id",
        "said",
        "started",
        "status",
        "streamed",
        "surface",
        "trail",
        "usage",
        "wall",
    )

    def __init__(
        self,
        owner: Owner,
        request: Request,
        reply: Reply,
        surface: Surface,
        request_id: str,
        wall: float,
        cors: Sequence[Header] = (),
    ) -> None:
        # As ``Stepped`` begins, without the call.
        self._wait = None
        self._cut = False
        self._owner = owner
        self.request = request
        self.reply = reply
        self.surface = surface
        self.request_id = request_id
        own = b"%b: %b\r\n" % (X_NEXUS_REQUEST_ID, request_id.encode())
        self.lines = own + lines_of(cors) if cors else own
        self.started = request.received_at
        self.wall = wall
        self.decision: Decision | None = None
        self.attempts: list[Attempt] = []
        self.cause: FailureKind | None = None
        self.model = ""
        self.status = 0
        self.error = ""
        self.streamed = False
        self.usage: Usage | None = None
        self.first_byte: float | None = None
        self.bytes_out = 0
        self.trail = Trail()
        self.said: object | None = None
        reply.watcher = self

    def run(self, work: Coroutine[Wait, None, None]) -> None:
        """Begin ``work``, which answers the request within the scope of this exchange."""
        self._owner.running.add(self)
        self._coroutine = work
        self.step()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        handled = error is None or self._end(error)
        reply = self.reply
        if not (reply.ended or reply.departed):
            _log.error("a request was left without an end of its reply")
            reply.abort()
        reply.watcher = None
        self._owner.ended(self)
        return handled

    def _end(self, error: BaseException) -> bool:
        """Turn what was raised into the client's answer; tell whether that was possible."""
        if isinstance(error, RequestError):
            self.answer(error)
        elif isinstance(error, asyncio.CancelledError):
            cause = self.cause = self.cause or FailureKind.SHUTTING_DOWN
            code, message = EVENT_TEXT.get(cause, (str(cause), "the request was cut"))
            self.answer(ServiceUnavailable(message, code=code))
        elif isinstance(error, Exception):
            # A defect of ours: one request's stays its own.
            _log.error("the handler of a request failed", exc_info=error)
            self.answer(ServerFault("Nexus failed to handle this request."))
            self.error = "internal_error"
        else:
            return False
        # It holds the frames that it passed, and these hold it: without this they, and the request's
        # body, would stay until the garbage collector's next round.
        error.__traceback__ = None
        return True

    def departed(self) -> None:
        """The client has left."""
        self.cut(FailureKind.CLIENT_CLOSED)

    def stalled(self) -> None:
        """The client takes nothing."""
        self.cut(FailureKind.CLIENT_STALLED)

    def cut(self, cause: FailureKind) -> None:
        """End the exchange from outside, at once; the first cause stays."""
        if self.cause is None:
            self.cause = cause
            self.cancel()

    def started_reply(self, status: int, now: float) -> None:
        """Note that the reply's head is on its way."""
        self.status = status
        self.first_byte = now - self.started

    def answer(self, error: RequestError) -> None:
        """Send an error of Nexus's own: a reply, or an event when a stream is already running."""
        self.error = error.code or ""
        if self.reply.departed or self.reply.ended:
            return
        if self.reply.started:
            self.end_with_event(error.code or "server_error", error.message)
            return
        self.status = error.status
        headers = [JSON_TYPE]
        if len(self.attempts) > 1:
            headers.append((X_NEXUS_ATTEMPTS, b"%d" % len(self.attempts)))
        headers += [(name.encode(), value.encode()) for name, value in error.headers]
        body = render(error, self.surface.name)
        self.bytes_out += len(body)
        self.reply.send(error.status, headers, body, self.lines)

    def end_with_event(self, code: str, message: str, *, prefix: bytes = b"") -> None:
        """End a running event stream with one typed error event.

        A reply that is not an event stream is cut without a terminal chunk instead: its client
        must see that it is incomplete.

        Args:
            code: ``upstream_closed`` and its like.
            message: for people.
            prefix: ends a half-relayed event first.
        """
        self.error = code
        if self.reply.departed or self.reply.ended:
            return
        if not self.streamed:
            self.reply.abort()
            return
        end = self.surface.end if self.surface.end is not StreamEnd.NONE else StreamEnd.CHAT
        event = prefix + error_event(code, message, end)
        self.bytes_out += len(event)
        self.reply.write(event)
        self.reply.end()
