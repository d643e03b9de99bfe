"""One request and its reply on one upstream connection: who is told what, and until when.

Laws held here: a handler is called between ``connected`` and the end of its exchange only; a
:class:`Exchange` that has ended does nothing, so a late call can never touch the connection's next user.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

import msgspec

from nexus.errors import FirstByteTimeout, IdleTimeout, TotalTimeout, UpstreamError
from nexus.protocol.headers import FieldNames, Header
from nexus.stepping import Wait

if TYPE_CHECKING:
    from nexus.http.upstream_connection import UpstreamConnection


class Timeouts(msgspec.Struct, frozen=True):
    """How long the phases of one exchange may take, in seconds; 0 turns one off.

    Attributes:
        connect: name resolution, connection, proxy and TLS handshake together.
        first_byte: from the request's departure to :meth:`Exchange.first_byte`.
        idle: without a byte of the reply after that.
        total: the whole exchange, connecting included.
    """

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float = 0.0


class ResponseHandler(Protocol):
    """Receives one reply, called synchronously from the transport."""

    def connected(self, flow: Exchange) -> None:
        """The request's bytes leave now; called again when a stale connection is replaced."""
        ...

    def head(self, status: int, headers: list[Header], names: FieldNames) -> None:
        """The final status and its headers, names as sent, and what these tell; 1xx replies are not told."""
        ...

    def data(self, chunk: bytes) -> None:
        """Body bytes, without transfer coding."""
        ...


class Exchange(Wait):
    """The state of one exchange; awaited for its end.

    Its handler is given it too, to act on it, synchronously; nothing is done once it has ended.

    Args:
        carrier: the connection, for as long as the exchange runs.
        timeouts: its phases.
        total_at: when all of it must have ended, in monotonic seconds, ``inf`` for never.

    Attributes:
        error: what ended it, once it has ended; ``None`` after a complete reply.
    """

    __slots__ = ("_carrier", "_timeouts", "begun", "error", "idle", "paused_for", "total_at")

    def __init__(self, carrier: UpstreamConnection, timeouts: Timeouts, total_at: float) -> None:
        # As ``Wait`` begins, without the call.
        self.ended = False
        self.waiter = None
        self._carrier: UpstreamConnection | None = carrier
        self._timeouts = timeouts
        # Seconds that were left to the phase when reading was stopped; None while it goes on.
        self.paused_for: float | None = None
        self.total_at = total_at
        self.error: BaseException | None = None
        self.begun = False
        # Seconds that every arrival of bytes buys: 0 in the first-byte phase and while paused.
        self.idle = 0.0

    def pause(self) -> None:
        """Stop reading the reply; the idle and first-byte clocks stand still meanwhile."""
        carrier = self._carrier
        if carrier is not None and self.paused_for is None:
            # Once the reply has begun, only bytes of it bring a pause, and they buy the whole idle time.
            self.paused_for = self.idle if self.begun else carrier.deadline - carrier.now()
            self.idle = 0.0
            carrier.deadline = self.total_at
            carrier.pause_reading()

    def resume(self) -> None:
        """Read on."""
        carrier, remaining = self._carrier, self.paused_for
        if carrier is not None and remaining is not None:
            self.paused_for = None
            self.idle = (self._timeouts.idle or inf) if self.begun else 0.0
            carrier.deadline = min(carrier.now() + remaining, self.total_at)
            carrier.resume_reading()

    def first_byte(self) -> None:
        """The reply has truly begun: from what is being read now on the idle timeout counts."""
        if self._carrier is None or self.begun:
            return
        self.begun = True
        idle = self._timeouts.idle or inf
        if self.paused_for is None:
            self.idle = idle
        else:
            self.paused_for = idle

    def finish(self) -> None:
        """End the exchange as complete; its connection is closed, not pooled."""
        if self._carrier is not None:
            self._carrier.end(None)

    def abort(self, error: UpstreamError) -> None:
        """End the exchange with ``error`` and close its connection."""
        if self._carrier is not None:
            self._carrier.end(error)

    def overdue(self, now: float) -> UpstreamError:
        """The error that names the phase whose time is up."""
        if now >= self.total_at:
            return TotalTimeout(f"the reply took longer than {self._timeouts.total:g} s")
        if not self.begun:
            return FirstByteTimeout(f"no byte of a reply within {self._timeouts.first_byte:g} s")
        return IdleTimeout(f"nothing for {self._timeouts.idle:g} s in the middle of the reply")

    def close(self, error: BaseException | None) -> None:
        """Let go of the connection and wake the caller."""
        self._carrier = None
        self.error = error
        # As ``Wait.end``, without the call.
        self.ended = True
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.step()


Flow = Exchange
"""An exchange as its handler knows it."""
