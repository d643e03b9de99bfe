"""Hands each outcome to everyone who wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from nexus.domain import Outcome

Listener = Callable[[Outcome], None]
T = TypeVar("T")

_log: Final = logging.getLogger("nexus.gateway")


class OutcomeHub(Generic[T]):
    """A fixed list of consumers of outcomes.

    They get what ended within one round of the event loop together, each consumer all of it in a row:
    its code is then in the processor's caches, and counting a request costs a third of what it
    costs between two others' replies. Whoever asks in a later round finds all of it counted.

    Args:
        soon: calls something in the next round of the loop.
        remember: also takes what explains an outcome.
        listeners: called in order; like ``remember`` they must not block.
    """

    __slots__ = ("_listeners", "_pending", "_remember", "_soon")

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], object],
        remember: Callable[[Outcome, T], None],
        *listeners: Listener,
    ) -> None:
        self._soon = soon
        self._remember = remember
        self._listeners = listeners
        self._pending: list[tuple[Outcome, T]] = []

    def publish(self, outcome: Outcome, trail: T) -> None:
        """Take ``outcome`` for everyone."""
        pending = self._pending
        pending.append((outcome, trail))
        if len(pending) == 1:
            try:
                self._soon(self.deliver)
            except RuntimeError:
                # No loop is running: there is no next round.
                self.deliver()

    def deliver(self) -> None:
        """Give everyone what is pending."""
        pending, self._pending = self._pending, []
        for listener in self._listeners:
            for outcome, _ in pending:
                try:
                    listener(outcome)
                except Exception:  # noqa: BLE001  # one consumer's defect is neither the others' nor the loop's
                    _log.exception("the outcome of a request was not taken")
        for outcome, trail in pending:
            try:
                self._remember(outcome, trail)
            except Exception:  # noqa: BLE001  # as above
                _log.exception("a request was not remembered")
