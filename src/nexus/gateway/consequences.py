"""What a failed attempt does to its backend: the right-hand column of the failure tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nexus.backends.base import ErrorReading
from nexus.domain import Attempt, FailureKind
from nexus.gateway.failures import BEFORE_FIRST_BYTE, CHECKED_AFTER_FIRST_BYTE, Action
from nexus.registry.registry import Registry
from nexus.registry.snapshot import Candidate
from nexus.tasks import Clock


class Consequences:
    """Tells the registry what an attempt showed.

    Args:
        registry: the only place that keeps it.
        clock: for how long a pair is busy or rests.
    """

    __slots__ = ("_actions", "_clock", "_registry")

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._actions: Mapping[Action, _Carry] = {
            Action.UNREACHABLE: self._unreachable,
            Action.CHECK: self._check,
            Action.REST: self._rest,
            Action.BUSY: self._busy,
            Action.LEARN: self._learn,
            Action.REFRESH: self._refresh,
            Action.CONTEXT: self._context,
        }

    def apply(
        self, candidate: Candidate, attempt: Attempt, reading: ErrorReading | None, *, committed: bool
    ) -> None:
        """Carry one row out.

        Args:
            candidate: the (backend, model) that was leased.
            attempt: how it ended.
            reading: what its error reply said, or ``None``.
            committed: the first byte had left for the client.
        """
        kind = attempt.failure
        if kind is None:
            return
        if committed:
            if kind in CHECKED_AFTER_FIRST_BYTE:
                self._check(candidate, attempt, reading)
            return
        carry = self._actions.get(BEFORE_FIRST_BYTE[kind].action)
        if carry is not None:
            carry(candidate, attempt, reading)

    def _unreachable(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._registry.mark_unreachable(candidate.backend.id, _reason(attempt))

    def _check(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._registry.wish_check(candidate.backend.id, _reason(attempt))

    def _rest(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._registry.rest(candidate, self._clock.now(), _reason(attempt))
        self._registry.wish_check(candidate.backend.id, _reason(attempt))

    def _busy(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        loading = attempt.failure is FailureKind.LOADING
        self._registry.busy(candidate, self._clock.now(), attempt.retry_after, loading)

    def _learn(self, candidate: Candidate, _: Attempt, reading: ErrorReading | None) -> None:
        if reading is not None and reading.capability is not None:
            self._registry.learn_false(candidate, reading.capability)

    def _refresh(self, candidate: Candidate, _: Attempt, __: ErrorReading | None) -> None:
        self._registry.wish_refresh(candidate.backend.id)

    def _context(self, candidate: Candidate, _: Attempt, reading: ErrorReading | None) -> None:
        if reading is not None and reading.context_length is not None:
            self._registry.correct_context(candidate, reading.context_length)


def _reason(attempt: Attempt) -> str:
    return attempt.message or str(attempt.failure)


_Carry = Callable[[Candidate, Attempt, ErrorReading | None], None]
