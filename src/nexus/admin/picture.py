"""The pictures that :mod:`nexus.admin.live` hands out: the fleet, its models, requests, traffic."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import msgspec

from nexus import __version__
from nexus.admin import shown
from nexus.admin.backends import Backends
from nexus.admin.live import Topic
from nexus.admin.requests import Requests
from nexus.gateway.trail import Trail
from nexus.observe.history import RequestHistory
from nexus.observe.traffic import Traffic, percentile
from nexus.registry import BackendRow, Registry
from nexus.registry.routing_view import routing_view
from nexus.tasks import Clock

RATE_SECONDS: Final = 10
STILL_SECONDS: Final = 5.0
"""A picture in which nothing moves is sent this often, so that clocks run on."""
STALE_SECONDS: Final = 3.0
ENDED_MAX: Final = 100
"""Ended requests of one event; of more the newest are told."""


class Facts(msgspec.Struct, frozen=True):
    """What the server around knows.

    Attributes:
        base_url: what clients set.
        draining: Nexus is about to end.
        started: monotonic seconds at which it began to serve.
        looked: where backends are looked for, and what to do when there is none.
    """

    base_url: Callable[[], str]
    draining: Callable[[], bool]
    started: float
    looked: Callable[[], list[str]]


class Pictures:
    """Makes the events of every topic.

    Args:
        registry, requests, history, traffic, backends: what is shown.
        facts: of the server around.
        clock: the time.
    """

    def __init__(  # a picture shows everything there is
        self,
        registry: Registry,
        requests: Requests,
        history: RequestHistory[Trail, Any],
        traffic: Traffic,
        backends: Backends,
        facts: Facts,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._requests = requests
        self._history = history
        self._traffic = traffic
        self._backends = backends
        self._facts = facts
        self._clock = clock
        self._window: deque[tuple[float, int, dict[str, tuple[int, int]]]] = deque(maxlen=RATE_SECONDS + 1)
        self._last: dict[str, bytes] = {}
        self._sent_at: dict[str, float] = {}
        self._told = history.seq
        self._bucket = 0.0
        self._looked_at = clock.now()

    def topics(self) -> dict[str, Topic]:
        """Return every topic by its name."""
        makers = {
            "state": self._state,
            "models": self._models,
            "requests": self._ended,
            "traffic": self._newest_bucket,
        }
        return {name: partial(self._seen, make) for name, make in makers.items()}

    def _seen(self, make: Topic, *, begins: bool) -> Iterable[bytes]:
        """Begin anew where nobody has looked for a while: what happened meanwhile is no news."""
        now = self._clock.now()
        if now - self._looked_at > STALE_SECONDS:
            self._window.clear()
            self._told = self._history.seq
            self._bucket = max((bucket.at for bucket in self._traffic.finished(0.0)), default=0.0)
        self._looked_at = now
        return make(begins=begins)

    def _state(self, *, begins: bool) -> Iterator[bytes]:
        now = self._clock.now()
        rows = self._registry.rows()
        running = self._requests.running()
        if not begins:
            self._sample(now, rows, running)
        rates = self._rates()
        picture = {
            "draining": self._facts.draining(),
            "version": __version__,
            "base_url": f"{self._facts.base_url()}/v1",
            "looked": [] if rows else self._facts.looked(),
            "totals": self._totals(rows, rates),
            "backends": [self._row(row, rates) for row in rows],
            "running": running,
        }
        yield from self._unless_same("state", picture, now, STILL_SECONDS, begins=begins)

    def _models(self, *, begins: bool) -> Iterator[bytes]:
        now = self._clock.now()
        rules = self._registry.snapshot.rules
        picture = {"models": model_views(self._registry), "routing": routing_view(rules)}
        yield from self._unless_same("models", picture, now, None, begins=begins)

    def _ended(self, *, begins: bool) -> Iterator[bytes]:
        if begins:
            return
        news = self._history.since(self._told, ENDED_MAX)
        skipped = self._history.seq - self._told - len(news)
        self._told = self._history.seq
        if news or skipped:
            data = [shown.summary(kept) for kept in news]
            yield msgspec.json.encode({"data": data, "skipped": skipped})

    def _newest_bucket(self, *, begins: bool) -> Iterator[bytes]:
        if begins:
            return
        for bucket in self._traffic.finished(self._bucket):
            self._bucket = bucket.at
            yield msgspec.json.encode({"bucket": bucket})

    def _unless_same(
        self, topic: str, picture: dict[str, Any], now: float, still: float | None, *, begins: bool
    ) -> Iterator[bytes]:
        """Yield a picture that moved, that stood still for long, or that somebody sees for the first time."""
        encoded = msgspec.json.encode(picture)
        moved = encoded != self._last.get(topic)
        stale = still is not None and now - self._sent_at.get(topic, 0.0) >= still
        if not (moved or stale or begins):
            return
        if not begins:
            self._last[topic] = encoded
            self._sent_at[topic] = now
        if topic == "state":
            # Apart from what is compared: clocks move always.
            clocks = {"now_at": self._clock.wall(), "uptime_seconds": now - self._facts.started}
            encoded = encoded[:-1] + b"," + msgspec.json.encode(clocks)[1:]
        yield encoded

    def _sample(self, now: float, rows: tuple[BackendRow, ...], running: list[shown.Running]) -> None:
        self._traffic.keep_only(row.name for row in rows)
        tokens = {name: totals.tokens for name, totals in self._traffic.backends.items()}
        for one in running:
            tokens[one.backend] = tokens.get(one.backend, 0) + one.tokens
        counts = {row.name: (row.attempts, tokens.get(row.name, 0)) for row in rows}
        self._window.append((now, self._traffic.ended, counts))

    def _rates(self) -> dict[str, tuple[float, float]]:
        """Return attempts and tokens a second by backend, over the last seconds."""
        if len(self._window) < 2 or self._window[-1][0] <= self._window[0][0]:
            return {}
        then, _, before = self._window[0]
        now, _, after = self._window[-1]
        seconds = now - then
        return {
            name: ((attempts - was[0]) / seconds, max(0, tokens - was[1]) / seconds)
            for name, (attempts, tokens) in after.items()
            if (was := before.get(name)) is not None
        }

    def _totals(self, rows: tuple[BackendRow, ...], rates: dict[str, tuple[float, float]]) -> dict[str, Any]:
        ended = 0.0
        if rates:
            first, last = self._window[0], self._window[-1]
            ended = (last[1] - first[1]) / (last[0] - first[0])
        return {
            "requests_per_second": ended,
            "tokens_per_second": sum(tokens for _, tokens in rates.values()),
            "in_flight": sum(row.in_flight for row in rows),
        }

    def _row(self, row: BackendRow, rates: dict[str, tuple[float, float]]) -> dict[str, Any]:
        attempts, tokens = rates.get(row.name, (0.0, 0.0))
        totals = self._traffic.backends.get(row.name)
        samples = list(totals.first_bytes) if totals is not None else []
        view: dict[str, Any] = msgspec.to_builtins(row)
        return view | {
            "leaving": self._backends.leaving(row.id),
            "requests_per_second": attempts,
            "tokens_per_second": tokens,
            "first_byte_p50": percentile(samples, 0.5),
            "first_byte_p95": percentile(samples, 0.95),
        }


def model_views(registry: Registry) -> list[dict[str, Any]]:
    """Return each model that is served or was, with what each backend makes of it."""
    offers: dict[str, list[dict[str, Any]]] = {}
    for backend in registry.views():
        for pair in backend.models:
            view = msgspec.to_builtins(pair)
            offers.setdefault(pair.id, []).append({"backend": backend.name, **view})
    return [
        {
            "id": row.id,
            "available": row.available,
            "alias_of": row.alias_of,
            "context_length": row.context_length,
            "capabilities": msgspec.to_builtins(row.capabilities),
            "backends": offers.get(row.alias_of or row.id, []),
        }
        for row in registry.model_rows()
    ]
