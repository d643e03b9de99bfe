"""What those who administer may ask and do about requests, running and ended.

Law: explaining sends nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import msgspec

from nexus.admin import shown
from nexus.domain import FailureKind
from nexus.errors import InvalidRequest, NotFound
from nexus.gateway.exchanges import Exchanges
from nexus.gateway.trail import Trail
from nexus.observe.events import EventLog
from nexus.observe.history import Kept, RequestHistory
from nexus.observe.traffic import failed
from nexus.protocol import envelope, requirements
from nexus.protocol.surfaces import SURFACES
from nexus.registry import Registry
from nexus.routing import decide, explain
from nexus.tasks import Clock

_log: Final = EventLog("admin")

PAGE: Final = 100
PAGE_MAX: Final = 1000
OUTCOMES: Final = ("ok", "failed")


class Filter(msgspec.Struct, frozen=True):
    """Which ended requests are asked for; empty fields match all.

    Attributes:
        limit: how many at most.
        before: only those with a lower number.
        model: asked or served id.
        backend: name of who answered or was tried.
        outcome: ``ok`` or ``failed``.
        q: text that the id, a name or the error holds, whatever its case.
    """

    limit: int = PAGE
    before: int | None = None
    model: str = ""
    backend: str = ""
    outcome: str = ""
    q: str = ""

    def matches(self, kept: Kept[Trail]) -> bool:
        """Tell whether a request is one of them."""
        outcome = kept.outcome
        tried = [attempt.backend for attempt in outcome.attempts]
        return (
            (not self.model or self.model in (outcome.model, outcome.served_model))
            and (not self.backend or self.backend in (outcome.backend, *tried))
            and (not self.outcome or failed(outcome) is (self.outcome == "failed"))
            and (not self.q or self.q.casefold() in _text(kept))
        )


class Requests:
    """Lists, explains and cancels requests.

    Args:
        exchanges: those that run.
        history: those that ended.
        registry: for explanations of what was not sent.
        clock, rng: as decisions have them.
        settle: has everything in ``history`` that has ended.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        history: RequestHistory[Trail, Any],
        registry: Registry,
        clock: Clock,
        rng: Random,
        settle: Callable[[], None],
    ) -> None:
        self._settle = settle
        self._exchanges = exchanges
        self._history = history
        self._registry = registry
        self._clock = clock
        self._rng = rng

    def running(self) -> list[shown.Running]:
        """Return what runs, oldest first."""
        now = self._clock.now()
        oldest_first = sorted(self._exchanges.running, key=lambda exchange: exchange.started)
        return [shown.running(exchange, now) for exchange in oldest_first]

    def page(self, wanted: Filter) -> dict[str, Any]:
        """Return what runs and the newest ended requests that match."""
        self._settle()
        found = self._matching(wanted)
        return {
            "object": "list",
            "data": [shown.summary(kept) for kept, _ in zip(found, range(wanted.limit), strict=False)],
            "running": self.running(),
            "kept": len(self._history),
            "forgotten": self._history.forgotten,
        }

    def detail(self, request_id: str) -> dict[str, Any]:
        """Return all that is known of one request.

        Raises:
            NotFound: it is not running, and not kept or not any more.
        """
        self._settle()
        exchange = self._exchanges.find(request_id)
        if exchange is not None:
            return shown.running_detail(exchange, self._clock.now())
        kept = self._history.find(request_id)
        if kept is None:
            raise NotFound(
                f"No request '{request_id[:200]}' is running or kept: the last {len(self._history)} are "
                "([history] requests). GET /admin/requests lists them."
            )
        return shown.detail(kept)

    def cancel(self, request_id: str) -> dict[str, Any]:
        """End a running request; its client gets a typed error.

        Raises:
            NotFound: it is not running.
        """
        exchange = self._exchanges.find(request_id)
        if exchange is None:
            raise NotFound(f"No request '{request_id[:200]}' is running.")
        _log.info("a request was cancelled", id=exchange.request_id)
        exchange.cut(FailureKind.CANCELLED)
        return {"id": request_id, "cancelled": True}

    def explain(self, body: bytes, surface_name: str) -> dict[str, Any]:
        """Decide about a request body as if it had been sent now.

        Raises:
            InvalidRequest: there is no such surface, or the body is none for it.
        """
        surface = SURFACES.get(surface_name)
        if surface is None:
            raise InvalidRequest(
                f"There is no surface '{surface_name[:60]}': {', '.join(SURFACES)}.", param="surface"
            )
        snapshot = self._registry.snapshot
        read = envelope.read(body, surface, default_model=snapshot.rules.default_model)
        wanted = requirements.of(read, surface)
        decided = decide(snapshot, wanted, self._clock.now(), self._rng)
        return {"needs": shown.needs(wanted), "decision": shown.explanation(explain(decided))}

    def _matching(self, wanted: Filter) -> Iterator[Kept[Trail]]:
        return (kept for kept in self._history.newest_first(wanted.before) if wanted.matches(kept))


def _text(kept: Kept[Trail]) -> str:
    outcome = kept.outcome
    names = (outcome.request_id, outcome.model, outcome.served_model, outcome.backend, outcome.error)
    return "\n".join((*names, *(attempt.message for attempt in outcome.attempts))).casefold()
