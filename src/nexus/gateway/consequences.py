"""What a failed attempt does to its backend: the right-hand column of the failure tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nexus.backends.base import ErrorReading
from nexus.domain import Attempt, FailureKind, Requirements
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
            Action.REFRESH: self._refresh,
            Action.CONTEXT: self._context,
            Action.MISCONFIGURED: self._misconfigured,
        }

    def apply(
        self,
        candidate: Candidate,
        attempt: Attempt,
        reading: ErrorReading | None,
        requirements: Requirements,
        committed: bool,
    ) -> None:
        """Carry one row out.

        Args:
            candidate: the (backend, model) that was leased.
            attempt: how it failed.
            reading: what its error reply said, or ``None``.
            requirements: what the request needed: nothing else is learned to be missing.
            committed: the first byte had left for the client.
        """
        kind = attempt.failure
        if kind is None:
            return
        if committed:
            if kind in CHECKED_AFTER_FIRST_BYTE:
                self._check(candidate, attempt, reading)
            return
        action = BEFORE_FIRST_BYTE[kind].action
        if action is Action.LEARN:
            self._learn(candidate, reading, requirements)
            return
        carry = self._actions.get(action)
        if carry is not None:
            carry(candidate, attempt, reading)

    def _unreachable(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._registry.mark_unreachable(candidate.backend.id, _reason(attempt))

    def _check(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._registry.wish_check(candidate.backend.id, _reason(attempt))

    def _rest(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._set_aside(candidate, f"{attempt.failure}: {_reason(attempt)}")

    def _misconfigured(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        self._set_aside(candidate, f"misconfigured: {_reason(attempt)}; correct its `url`")

    def _set_aside(self, candidate: Candidate, cause: str) -> None:
        """Rank the pair last for a moment, and have the backend checked now."""
        self._registry.rest(candidate, self._clock.now(), cause)
        self._registry.wish_check(candidate.backend.id, cause)

    def _busy(self, candidate: Candidate, attempt: Attempt, _: ErrorReading | None) -> None:
        loading = attempt.failure is FailureKind.LOADING
        self._registry.busy(candidate, self._clock.now(), attempt.retry_after, loading)
        if loading:
            # A server that loads as a whole is then watched closely, and taken back the moment it is done.
            self._registry.wish_check(candidate.backend.id, _reason(attempt))

    def _learn(self, candidate: Candidate, reading: ErrorReading | None, requirements: Requirements) -> None:
        """Believe a refusal only about what was asked for; anything else a client may have put there."""
        missing = reading.capability if reading is not None else None
        if missing is None:
            return
        asked = missing == f"surface:{requirements.surface}" or getattr(requirements, missing, False) is True
        if asked:
            self._registry.learn_false(candidate, missing)

    def _refresh(self, candidate: Candidate, _: Attempt, __: ErrorReading | None) -> None:
        self._registry.wish_refresh(candidate.backend.id)

    def _context(self, candidate: Candidate, _: Attempt, reading: ErrorReading | None) -> None:
        if reading is not None and reading.context_length is not None:
            self._registry.correct_context(candidate, reading.context_length)


def _reason(attempt: Attempt) -> str:
    return attempt.message or str(attempt.failure)


_Carry = Callable[[Candidate, Attempt, ErrorReading | None], None]
