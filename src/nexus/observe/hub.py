"""Hands each outcome to everyone who wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from nexus.domain import Outcome

Listener = Callable[[Outcome], None]
T = TypeVar("T")


class OutcomeHub(Generic[T]):
    """A fixed list of consumers of outcomes.

    Args:
        remember: also takes what explains an outcome.
        listeners: called in order; like ``remember`` they must neither block nor raise.
    """

    __slots__ = ("_listeners", "_remember")

    def __init__(self, remember: Callable[[Outcome, T], None], *listeners: Listener) -> None:
        self._remember = remember
        self._listeners = listeners

    def publish(self, outcome: Outcome, trail: T) -> None:
        """Give ``outcome`` to everyone."""
        for listener in self._listeners:
            listener(outcome)
        self._remember(outcome, trail)
