"""One client request from its first byte to its single Outcome.

Law: an ``Exchange`` publishes exactly one ``Outcome``, on every way out, and no way out awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from nexus.domain import Attempt, FailureKind, Outcome, RouteReason, Usage
from nexus.errors import RequestError, ServiceUnavailable
from nexus.gateway.failures import EVENT_TEXT
from nexus.http.server import Reply, Request
from nexus.protocol.error_body import error_event, render
from nexus.protocol.headers import X_NEXUS_ATTEMPTS, X_NEXUS_REQUEST_ID, Header
from nexus.protocol.surfaces import StreamEnd, Surface
from nexus.routing.decision import Decision
from nexus.tasks import Clock

CLIENT_CLOSED_STATUS: Final = 499
JSON_TYPE: Final[Header] = (b"Content-Type", b"application/json")


class Exchange:
    """The record of one request, written to by dispatch and relay.

    Attributes:
        request, reply: both ends of the client's connection.
        surface: what was asked.
        request_id: goes upstream and comes back in ``X-Nexus-Request-Id``.
        extra: headers that every reply to this request carries.
        started: monotonic seconds at which the request was complete.
        attempts: ended leases in order.
        cause: why the exchange was cut from outside, or ``None``.
    """

    __slots__ = (
        "attempts",
        "backend",
        "backend_type",
        "bytes_out",
        "cause",
        "error",
        "extra",
        "fallback",
        "first_byte",
        "model",
        "reply",
        "request",
        "request_id",
        "route_reason",
        "served_model",
        "started",
        "status",
        "streamed",
        "surface",
        "task",
        "usage",
        "wall",
    )

    def __init__(
        self,
        request: Request,
        reply: Reply,
        surface: Surface,
        request_id: str,
        wall: float,
        extra: Sequence[Header] = (),
    ) -> None:
        self.request = request
        self.reply = reply
        self.surface = surface
        self.request_id = request_id
        self.extra: tuple[Header, ...] = ((X_NEXUS_REQUEST_ID, request_id.encode()), *extra)
        self.started = request.received_at
        self.wall = wall
        self.task: asyncio.Task[None] | None = None
        self.attempts: list[Attempt] = []
        self.cause: FailureKind | None = None
        self.model = ""
        self.served_model = ""
        self.backend = ""
        self.backend_type = ""
        self.status = 0
        self.error = ""
        self.streamed = False
        self.route_reason: RouteReason | None = None
        self.fallback = False
        self.usage: Usage | None = None
        self.first_byte: float | None = None
        self.bytes_out = 0

    def cut(self, cause: FailureKind) -> None:
        """End the exchange from outside, at once; the first cause stays."""
        if self.cause is None and self.task is not None and not self.task.done():
            self.cause = cause
            self.task.cancel()

    def leased(self, decision: Decision) -> None:
        """Note who is asked now; the last one stands in the outcome."""
        backend = decision.candidate.backend
        self.backend = backend.name
        self.backend_type = backend.type
        self.served_model = decision.model
        self.route_reason = decision.reason
        self.fallback = decision.fallback

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
        headers = [JSON_TYPE, *self.extra]
        if len(self.attempts) > 1:
            headers.append((X_NEXUS_ATTEMPTS, b"%d" % len(self.attempts)))
        headers += [(name.encode(), value.encode()) for name, value in error.headers]
        body = render(error, self.surface.name)
        self.bytes_out += len(body)
        self.reply.send(error.status, headers, body)

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

    def outcome(self, now: float) -> Outcome:
        """Sum the exchange up."""
        gone = self.cause in (FailureKind.CLIENT_CLOSED, FailureKind.CLIENT_STALLED)
        return Outcome(
            request_id=self.request_id,
            surface=self.surface.name,
            model=self.model,
            served_model=self.served_model,
            backend=self.backend,
            backend_type=self.backend_type,
            status=self.status or (CLIENT_CLOSED_STATUS if gone else 0),
            error=self.error or (str(self.cause) if self.cause else ""),
            streamed=self.streamed,
            attempts=tuple(self.attempts),
            route_reason=self.route_reason,
            fallback=self.fallback,
            usage=self.usage,
            started_at=self.wall,
            first_byte_seconds=self.first_byte,
            seconds=now - self.started,
            bytes_out=self.bytes_out,
            client_closed=gone,
        )


class Exchanges:
    """The running exchanges and the one place that publishes their outcomes.

    Args:
        clock: for durations.
        publish: takes each outcome; must not raise or block.
    """

    __slots__ = ("_clock", "_publish", "running")

    def __init__(self, clock: Clock, publish: Callable[[Outcome], None]) -> None:
        self._clock = clock
        self._publish = publish
        self.running: set[Exchange] = set()

    @contextmanager
    def scope(self, exchange: Exchange) -> Iterator[None]:
        """Run one exchange: errors become its answer, a cut its end, and one outcome is published."""
        reply = exchange.reply
        exchange.task = asyncio.current_task()
        self.running.add(exchange)
        reply.on_departed = lambda: exchange.cut(FailureKind.CLIENT_CLOSED)
        reply.on_stalled = lambda: exchange.cut(FailureKind.CLIENT_STALLED)
        try:
            yield
        except RequestError as error:
            exchange.answer(error)
        except asyncio.CancelledError:
            if exchange.cause is None:
                exchange.cause = FailureKind.SHUTTING_DOWN
            self._cut(exchange, exchange.cause)
        except Exception:
            exchange.error = "internal_error"
            exchange.status = exchange.status or 500
            raise
        finally:
            self.running.discard(exchange)
            reply.on_departed = reply.on_stalled = reply.on_pause = reply.on_resume = None
            exchange.task = None
            self._publish(exchange.outcome(self._clock.now()))

    def cut_all(self, cause: FailureKind) -> int:
        """Cut what still runs and return how many exchanges that were."""
        running = list(self.running)
        for exchange in running:
            exchange.cut(cause)
        return len(running)

    @staticmethod
    def _cut(exchange: Exchange, cause: FailureKind) -> None:
        code, message = EVENT_TEXT.get(cause, (str(cause), "the request was cut"))
        exchange.answer(ServiceUnavailable(message, code=code))
