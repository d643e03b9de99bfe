"""Optional SSE comments while a backend is silent before its first byte."""

from __future__ import annotations

from typing import Final

from nexus.gateway.attempt_headers import attempt_lines, backend_lines
from nexus.gateway.exchange import Exchange
from nexus.protocol.headers import Header
from nexus.tasks import Clock, DeadlineWatch

COMMENT: Final = b": keep-alive\n\n"
_EVENT_STREAM: Final[tuple[Header, ...]] = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-cache"),
)


class KeepAlive:
    """Writes a comment every ``seconds`` until the backend's own first byte.

    The first comment commits the reply: its head leaves, and from then on a failure can only be
    told by an error event. That is why it is off by default.

    Args:
        exchange: a request that asked for an event stream.
        seconds: between two comments.
        clock: for the deadline.
        watch: the shared coarse timer.
    """

    __slots__ = ("_clock", "_exchange", "_seconds", "_watch", "deadline")

    def __init__(self, exchange: Exchange, seconds: float, clock: Clock, watch: DeadlineWatch) -> None:
        self._exchange = exchange
        self._seconds = seconds
        self._clock = clock
        self._watch = watch
        self.deadline = clock.now() + seconds

    def __enter__(self) -> None:
        self._watch.add(self)

    def __exit__(self, *_: object) -> None:
        self._watch.discard(self)

    def expired(self, now: float) -> None:
        """Write one comment, or stop when the backend speaks for itself."""
        reply = self._exchange.reply
        if self._exchange.bytes_out or reply.departed or reply.ended:
            self._watch.discard(self)
            return
        self.deadline = now + self._seconds
        if not reply.started:
            self._exchange.started_reply(200, now)
            self._exchange.streamed = True
            decision = self._exchange.decision
            own = self._exchange.lines
            if decision is not None:
                named = backend_lines(decision.candidate.backend)
                own = attempt_lines(named, decision, self._exchange)
            reply.start(200, _EVENT_STREAM, None, own)
        reply.write(COMMENT)
