"""Prometheus metrics: a consumer of outcomes.

Law: children are looked up once and cached (``labels()`` costs 1 µs, a cached child 0.3); model
names that no backend has never become labels, so that clients cannot make series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nexus import __version__
from nexus.domain import Outcome

UNKNOWN: Final = "unknown"

_DURATION_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_BYTE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

BackendRow = tuple[str, str, bool, int]
"""Name, type, up, in flight."""


class _Request:
    """The cached children of one (model, backend, status)."""

    __slots__ = ("count", "duration", "first_byte")

    def __init__(self, count: Counter, duration: Histogram, first_byte: Histogram) -> None:
        self.count = count
        self.duration = duration
        self.first_byte = first_byte


class _BackendCollector(Collector):
    """Reads the fleet at scrape time, so that the request path pays nothing for gauges."""

    def __init__(self, backends: Callable[[], Iterable[BackendRow]]) -> None:
        self._backends = backends

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("nexus_backend_up", "1 while a backend is healthy", labels=("backend", "type"))
        in_flight = GaugeMetricFamily(
            "nexus_in_flight", "Requests a backend is working on", labels=("backend",)
        )
        for name, backend_type, is_up, running in self._backends():
            up.add_metric((name, backend_type), float(is_up))
            in_flight.add_metric((name,), float(running))
        yield up
        yield in_flight


class RequestMetrics:
    """Counts outcomes and renders the scrape page.

    Args:
        backends: reads the fleet at scrape time.
    """

    def __init__(self, backends: Callable[[], Iterable[BackendRow]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "nexus_requests", "Finished requests", ("model", "backend", "status"), registry=self._registry
        )
        self._duration = Histogram(
            "nexus_request_duration_seconds",
            "From the request read to its end",
            ("model", "backend"),
            buckets=_DURATION_BUCKETS,
            registry=self._registry,
        )
        self._first_byte = Histogram(
            "nexus_time_to_first_byte_seconds",
            "From the request read to the first body byte written",
            ("model", "backend"),
            buckets=_FIRST_BYTE_BUCKETS,
            registry=self._registry,
        )
        self._attempts = Counter(
            "nexus_attempts", "Ended attempts", ("backend", "outcome"), registry=self._registry
        )
        self._disconnects = Counter(
            "nexus_client_disconnects", "Clients that left before the end", registry=self._registry
        )
        build = Gauge("nexus_build_info", "1, with the version", ("version",), registry=self._registry)
        build.labels(__version__).set(1)
        self._registry.register(_BackendCollector(backends))
        self._request_children: dict[tuple[str, str, int], _Request] = {}
        self._attempt_children: dict[tuple[str, str], Counter] = {}

    def observe(self, outcome: Outcome) -> None:
        """Count one outcome."""
        key = (outcome.served_model or UNKNOWN, outcome.backend, outcome.status)
        child = self._request_children.get(key)
        if child is None:
            child = self._request_children[key] = _Request(
                self._requests.labels(key[0], key[1], str(key[2])),
                self._duration.labels(key[0], key[1]),
                self._first_byte.labels(key[0], key[1]),
            )
        child.count.inc()
        child.duration.observe(outcome.seconds)
        if outcome.first_byte_seconds is not None:
            child.first_byte.observe(outcome.first_byte_seconds)
        for attempt in outcome.attempts:
            self._attempt(attempt.backend, attempt.failure or "success")
        if outcome.client_closed:
            self._disconnects.inc()

    def render(self, accept: str) -> tuple[bytes, bytes]:
        """Return content type and body in the format that ``Accept`` asks for (Prometheus or OpenMetrics)."""
        encoder, content_type = choose_encoder(accept)
        return content_type.encode(), encoder(self._registry)

    def _attempt(self, backend: str, outcome: str) -> None:
        key = (backend, outcome)
        child = self._attempt_children.get(key)
        if child is None:
            child = self._attempt_children[key] = self._attempts.labels(backend, outcome)
        child.inc()
