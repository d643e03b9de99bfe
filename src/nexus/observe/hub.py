"""Hands each outcome to everyone who wants it."""

from __future__ import annotations

from collections.abc import Callable

from nexus.domain import Outcome

Listener = Callable[[Outcome], None]


class OutcomeHub:
    """A fixed list of consumers of outcomes.

    Args:
        listeners: called in order; they must neither block nor raise.
    """

    __slots__ = ("_listeners",)

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def publish(self, outcome: Outcome) -> None:
        """Give ``outcome`` to every listener."""
        for listener in self._listeners:
            listener(outcome)
