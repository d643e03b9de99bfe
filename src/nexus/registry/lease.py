"""One attempt on one backend: the scope that owns its count, its sample and its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from nexus.domain import Attempt, FailureKind, Usage
from nexus.registry.snapshot import Candidate

NOT_THE_BACKENDS: Final = frozenset(
    {
        FailureKind.CLIENT_CLOSED,
        FailureKind.CLIENT_STALLED,
        FailureKind.CANCELLED,
        FailureKind.SHUTTING_DOWN,
        FailureKind.CLIENT_ERROR,
        FailureKind.MISSING_CAPABILITY,
        FailureKind.CONTEXT_OVERFLOW,
        FailureKind.TRY_AGAIN,
        FailureKind.TOTAL_TIMEOUT,
    }
)
"""Kinds that are nobody's fault, the request's or the operator's: they never count against a backend."""

_NOTHING_WRONG: Final[tuple[FailureKind | None, str, float | None]] = (None, "", None)


class Lease:
    """Use as ``with registry.lease(candidate) as lease:``, once.

    Args:
        candidate: what is leased.
        now: tells monotonic seconds.
        turns: numbers the leases of a registry.
        at: when it begins, in monotonic seconds, if whoever enters it has just asked.

    Law: the count goes up on entry and down on exit, on every way out, and nowhere else. The
    lease holds the counters themselves, so a backend removed meanwhile is neither missed nor
    brought back.

    Attributes:
        candidate: what was leased.
        sent: request bytes left.
        first_byte_at: when the first body byte came, in monotonic seconds, or ``None``.
        status: the upstream's HTTP status, or ``None``.
        attempt: the record; there once the lease has ended.
    """

    __slots__ = (
        "_at",
        "_now",
        "_said",
        "_started",
        "_text_bytes",
        "_turns",
        "_usage",
        "attempt",
        "candidate",
        "first_byte_at",
        "sent",
        "status",
    )

    attempt: Attempt

    def __init__(
        self,
        candidate: Candidate,
        now: Callable[[], float],
        turns: Iterator[int],
        at: float | None = None,
    ) -> None:
        self.candidate = candidate
        self._at = at
        self.sent = False
        self.first_byte_at: float | None = None
        self.status: int | None = None
        self._now = now
        self._turns = turns
        self._started: float | None = None
        # What went wrong, in which words, and the seconds until it may be tried again.
        self._said: tuple[FailureKind | None, str, float | None] = _NOTHING_WRONG
        self._usage: Usage | None = None
        self._text_bytes = 0

    def fail(
        self,
        kind: FailureKind,
        *,
        status: int | None = None,
        message: str = "",
        retry_after: float | None = None,
    ) -> None:
        """Say what went wrong; the first word stands.

        Args:
            kind: the row of the failure tables.
            status: the upstream's HTTP status.
            message: the backend's words, without secrets and addresses.
            retry_after: seconds until it asked to be called again.
        """
        if self._said[0] is None:
            self._said = (kind, message, retry_after)
            if status is not None:
                self.status = status

    def tokens(self, usage: Usage, text_bytes: int = 0) -> None:
        """Give what the backend counted and the bytes of prompt text that it counted for."""
        self._usage = usage
        self._text_bytes = text_bytes

    def __enter__(self) -> Self:
        if self._started is not None:
            raise RuntimeError("a lease is entered once")
        candidate = self.candidate
        load, stats = candidate.load, candidate.stats
        load.in_flight += 1
        load.attempts += 1
        stats.in_flight += 1
        stats.attempts += 1
        stats.turn = next(self._turns)
        self._started = self._now() if self._at is None else self._at
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        candidate = self.candidate
        load, stats = candidate.load, candidate.stats
        load.in_flight -= 1
        stats.in_flight -= 1
        started = self._started or 0.0
        now = self._now()
        seconds = now - started
        first_byte = self.first_byte_at
        waited = None if first_byte is None else first_byte - started
        kind, message, retry_after = self._said
        if exc_type is not None and kind is None:
            # Nobody said what happened: the scope was torn down from outside.
            kind = FailureKind.CANCELLED
        if kind is None:
            load.succeeded_at = now
            stats.succeeded(waited, seconds, self._usage, self._text_bytes)
        elif kind not in NOT_THE_BACKENDS:
            load.failures[kind] = load.failures.get(kind, 0) + 1
            stats.failures[kind] = stats.failures.get(kind, 0) + 1
        spec, native_id = candidate.backend.spec, candidate.model.native_id
        # fmt: off
        self.attempt = Attempt(
            spec.name, spec.id, native_id, kind, self.status, message, self.sent, waited, seconds,
            retry_after, started,
        )
        # fmt: on
