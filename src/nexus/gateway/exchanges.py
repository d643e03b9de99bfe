"""What runs now, and the one place that publishes how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from nexus.domain import FailureKind, Outcome
from nexus.gateway import summary
from nexus.gateway.exchange import Exchange
from nexus.gateway.trail import Trail
from nexus.tasks import Clock

_log: Final = logging.getLogger("nexus.gateway")


class Exchanges:
    """The running exchanges and the one place that publishes their outcomes.

    Args:
        clock: the time.
        publish: takes each outcome, and what is kept to explain it.

    Attributes:
        running: entered and not yet left.
        also: who wants the exchange itself, too: nobody, unless content is logged or requests are traced.
    """

    __slots__ = ("_now", "_publish", "also", "running")

    def __init__(self, clock: Clock, publish: Callable[[Outcome, Trail], None]) -> None:
        self._now = clock.now
        self._publish = publish
        self.running: set[Exchange] = set()
        self.also: tuple[Callable[[Outcome, Exchange], None], ...] = ()

    def ended(self, exchange: Exchange) -> None:
        """Publish the one outcome of an exchange that was left."""
        self.running.discard(exchange)
        try:
            ended = summary.outcome(exchange, self._now())
            exchange.trail.scanner = None
            self._publish(ended, exchange.trail)
            for listener in self.also:
                listener(ended, exchange)
        except Exception:  # noqa: BLE001  # else raised in whoever steps it: a closing connection, a shutdown
            _log.exception("the outcome of a request could not be published")

    def find(self, request_id: str) -> Exchange | None:
        """Return the running exchange of this id: of several, which clients can make, the oldest."""
        found = [exchange for exchange in self.running if exchange.request_id == request_id]
        return min(found, key=lambda exchange: exchange.started, default=None)

    def cut_all(self, cause: FailureKind) -> int:
        """Cut what still runs and return how many exchanges that were."""
        running = list(self.running)
        for exchange in running:
            exchange.cut(cause)
        return len(running)
