"""The reply's way from one backend to the client.

Laws: the first byte is the first body byte that is not an SSE comment, and Nexus's own head
leaves together with it; bytes come back unchanged and in whole events; before the first byte a
failure is only noted, so that another backend may be tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nexus.backends.base import Adapter, ErrorReading
from nexus.domain import FailureKind, Usage
from nexus.gateway.exchange import Exchange
from nexus.gateway.held import Held
from nexus.gateway.trail import Pace
from nexus.http.client import Flow
from nexus.protocol.error_body import read_body
from nexus.protocol.headers import FieldNames, Header, find, read_reply
from nexus.protocol.sse import SseScanner
from nexus.protocol.surfaces import StreamEnd
from nexus.registry.lease import Lease

HOLD_BYTES: Final = 64 * 1024
_CLOSING_EVENT: Final = frozenset({StreamEnd.RESPONSES, StreamEnd.MESSAGES})


class Relay:
    """Receives one attempt's reply and sends it on (a ``ResponseHandler``).

    Args:
        exchange: the client's side.
        lease: the attempt's scope.
        adapter: reads the backend's errors.
        now: tells monotonic seconds.
        lines: ``X-Nexus-*`` headers of this attempt, ready to be sent.
        body: what went upstream: words that a backend repeats from it teach nothing.

    Attributes:
        committed: Nexus's head has left for the client; nothing is tried again.
        failure: what the reply itself says went wrong, or ``None``.
        reading: the adapter's reading behind ``failure``, or ``None``.
        usage: tokens as the backend counted them, once the reply is complete.
    """

    __slots__ = (
        "_adapter",
        "_body",
        "_coded",
        "_cut_inside",
        "_exchange",
        "_flow",
        "_lease",
        "_lines",
        "_now",
        "_own_lines",
        "_pace",
        "_read_at",
        "_scanner",
        "_sent",
        "_size",
        "committed",
        "failure",
        "headers",
        "reading",
        "status",
        "usage",
    )

    def __init__(
        self,
        exchange: Exchange,
        lease: Lease,
        adapter: Adapter,
        now: Callable[[], float],
        lines: bytes,
        body: bytes,
    ) -> None:
        self._exchange = exchange
        self._lease = lease
        self._adapter = adapter
        self._now = now
        self._own_lines = lines
        self._lines = lines
        self._sent = body
        self._flow: Flow | None = None
        self._scanner: SseScanner | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._coded = False
        self._cut_inside = False
        self._pace: Pace | None = None
        self._read_at = 0.0
        self.status = 0
        self.headers: list[Header] = []
        self.committed = False
        self.failure: FailureKind | None = None
        self.reading: ErrorReading | None = None
        self.usage: Usage | None = None

    def connected(self, flow: Flow) -> None:
        """Request bytes leave now; from here a slow client slows this backend down."""
        self._flow = flow
        self._lease.sent = True
        trail = self._exchange.trail
        trail.sent_seconds = self._now() - trail.turn
        self._exchange.reply.source = flow

    def head(self, status: int, headers: list[Header], names: FieldNames) -> None:
        """Choose how the body is judged, by status and content type."""
        self.status = status
        self.headers = headers
        kept, event_stream, self._coded = read_reply(headers, names)
        self._lines = kept + self._own_lines
        if event_stream and not self._coded and status < 300:
            self._scanner = self._exchange.trail.scanner = SseScanner(self._exchange.surface.end)

    def data(self, chunk: bytes) -> None:
        """Relay or hold a piece of the body."""
        if self._scanner is not None:
            self._events(self._scanner, chunk)
            return
        if self._lease.first_byte_at is None:
            self._first_byte()
        if self.committed:
            self._write(chunk)
            return
        self._body.append(chunk)
        self._size += len(chunk)
        if self._size > HOLD_BYTES:
            self._too_large_to_hold()

    def complete(self) -> None:
        """The upstream's framing says that the reply is whole: judge it and send what is held."""
        if self.failure is not None:
            return
        if self._scanner is not None:
            self._complete_events(self._scanner)
        elif self.committed:
            self._exchange.reply.end()
        elif self.status < 300:
            if len(self._body) > 1:
                self._read_at = self._now()
            self._complete_body(b"".join(self._body))
        else:
            self._note_error(b"".join(self._body))

    def conclude(self) -> bool:
        """End the reply whose connection failed after the stream's last event, with nothing added.

        Returns:
            Whether the stream had said all: ``[DONE]``, its closing event or an error of its own.
        """
        scanner = self._scanner
        if scanner is None or not self.committed or scanner.split:
            return False
        closed = scanner.finished and self._exchange.surface.end in _CLOSING_EVENT
        if not (scanner.done or scanner.error_seen or closed):
            return False
        self.usage = scanner.usage
        if scanner.error_seen:
            self.failure = FailureKind.ERROR_EVENT
        self._exchange.reply.end()
        return True

    def held(self) -> Held:
        """The complete reply that was kept back."""
        return Held(self.status, self._lines, b"".join(self._body))

    def event_prefix(self) -> bytes:
        """What must precede an error event: the end of an event that had to leave in parts."""
        inside = self._cut_inside or (self._scanner is not None and self._scanner.split)
        return b"\n\n" if inside else b""

    def _events(self, scanner: SseScanner, chunk: bytes) -> None:
        ready = scanner.feed(chunk)
        if self.committed:
            if ready:
                if self._pace is not None:
                    self._pace.tick(self._now())
                self._write(ready)
            return
        if ready:
            self._body.append(ready)
        if scanner.error_first is not None:
            self._note_error(scanner.error_first)
            self._finish()
        elif not scanner.commented_only and self._body:
            self._commit_events()

    def _complete_events(self, scanner: SseScanner) -> None:
        self._cut_inside = scanner.split
        tail = scanner.flush()
        self.usage = scanner.usage
        if not self.committed and (scanner.error_first is not None or scanner.commented_only):
            self._note_error(scanner.error_first or b"")
            return
        if not (scanner.finished or scanner.error_seen):
            # A tail without its blank line is no event: it would swallow the error event.
            self.failure = FailureKind.UPSTREAM_INCOMPLETE if self.committed else FailureKind.RESET
            return
        if tail:
            self._body.append(tail)
        if self._body:
            self._commit_events()
        if scanner.error_seen:
            self.failure = FailureKind.ERROR_EVENT
        self._exchange.reply.end()

    def _commit_events(self) -> None:
        if self._lease.first_byte_at is None:
            self._first_byte()
        begins = not self.committed
        if begins:
            self._commit(None)
            self._exchange.streamed = True
        self._write(b"".join(self._body))
        self._body.clear()
        if begins:
            self._pace = self._exchange.trail.pace = Pace(self._written())

    def _complete_body(self, body: bytes) -> None:
        if not self._coded:
            fault, self.usage = read_body(body)
            if fault is not None:
                self._note_error(body)
                return
        if self._exchange.reply.started:
            self.failure = FailureKind.PROTOCOL
            return
        self.committed = True
        exchange = self._exchange
        exchange.bytes_out += len(body)
        exchange.reply.send(self.status, (), body, self._lines)
        exchange.started_reply(self.status, self._written())

    def _too_large_to_hold(self) -> None:
        self._read_at = self._now()
        if self.status >= 300:
            body = b"".join(self._body)
            self._note_error(body)
            if self.failure is not FailureKind.CLIENT_ERROR or self._exchange.reply.started:
                self._finish()
                return
            self.failure = self.reading = None
        elif self._exchange.reply.started:
            # A keep-alive comment has promised an event stream; a JSON reply cannot follow it.
            self.failure = FailureKind.PROTOCOL
            self._finish()
            return
        length = find(self.headers, b"content-length")
        self._commit(int(length) if length is not None and length.isdigit() else None)
        self._write(b"".join(self._body))
        self._body.clear()
        self._written()

    def _note_error(self, body: bytes) -> None:
        self.reading = self._adapter.read_error(
            self.status, body, self.headers, surface=self._exchange.surface.name, request=self._sent
        )
        self.failure = self.reading.kind

    def _finish(self) -> None:
        if self._flow is not None:
            self._flow.finish()

    def _first_byte(self) -> None:
        self._lease.first_byte_at = self._read_at = self._now()
        if self._flow is not None:
            self._flow.first_byte()

    def _commit(self, length: int | None) -> None:
        self.committed = True
        reply = self._exchange.reply
        if not reply.started:
            self._exchange.started_reply(self.status, self._now())
            reply.start(self.status, (), length, self._lines)

    def _written(self) -> float:
        """Note that what was read first has left now, and return that moment."""
        now = self._now()
        self._exchange.trail.relayed_seconds = now - self._read_at
        return now

    def _write(self, data: bytes) -> None:
        self._exchange.bytes_out += len(data)
        self._exchange.reply.write(data)
