"""Prometheus metrics: a consumer of outcomes.

Laws: the request path adds to plain numbers and the scrape turns them into metrics; model names
that no backend has never become labels, so that clients cannot make series.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nexus import __version__
from nexus.domain import FailureKind, Outcome

UNKNOWN: Final = "unknown"

DURATION_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_BYTE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

BackendRow = tuple[str, str, bool, int]
"""Name, type, up, in flight."""


class _Histogram:
    """Samples in buckets; the last one is what lies above every bound."""

    __slots__ = ("counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def buckets(self, bounds: tuple[float, ...]) -> list[tuple[str, float]]:
        """Return cumulative counts under their upper bounds."""
        reached = 0
        rows = []
        for bound, count in zip((*map(str, bounds), "+Inf"), self.counts, strict=True):
            reached += count
            rows.append((bound, float(reached)))
        return rows


class _Served:
    """What is counted for one (model, backend)."""

    __slots__ = ("duration", "first_byte", "statuses")

    def __init__(self) -> None:
        self.statuses: defaultdict[int, int] = defaultdict(int)
        self.duration = _Histogram(DURATION_BUCKETS)
        self.first_byte = _Histogram(FIRST_BYTE_BUCKETS)


class RequestMetrics(Collector):
    """Counts outcomes and renders the scrape page.

    Args:
        backends: reads the fleet at scrape time.
    """

    def __init__(self, backends: Callable[[], Iterable[BackendRow]]) -> None:
        self._backends = backends
        self._served: dict[tuple[str, str], _Served] = {}
        # Apart, because nearly all attempts succeed and a name alone is the cheaper key.
        self._successes: defaultdict[str, int] = defaultdict(int)
        self._failures: defaultdict[tuple[str, FailureKind], int] = defaultdict(int)
        self._disconnects = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, outcome: Outcome) -> None:
        """Count one outcome."""
        key = (outcome.served_model or UNKNOWN, outcome.backend)
        served = self._served.get(key)
        if served is None:
            served = self._served[key] = _Served()
        served.statuses[outcome.status] += 1
        histogram, seconds = served.duration, outcome.seconds
        histogram.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        histogram.total += seconds
        first_byte = outcome.first_byte_seconds
        if first_byte is not None:
            histogram = served.first_byte
            histogram.counts[bisect_left(FIRST_BYTE_BUCKETS, first_byte)] += 1
            histogram.total += first_byte
        for attempt in outcome.attempts:
            if attempt.failure is None:
                self._successes[attempt.backend] += 1
            else:
                self._failures[attempt.backend, attempt.failure] += 1
        if outcome.client_closed:
            self._disconnects += 1

    def render(self, accept: str) -> tuple[bytes, bytes]:
        """Return content type and body in the format that ``Accept`` asks for (Prometheus or OpenMetrics)."""
        encoder, content_type = choose_encoder(accept)
        return content_type.encode(), encoder(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now (the ``Collector`` protocol of prometheus-client)."""
        yield from self._request_families()
        yield from self._backend_families()
        disconnects = CounterMetricFamily("nexus_client_disconnects", "Clients that left before the end")
        disconnects.add_metric((), self._disconnects)
        yield disconnects
        yield InfoMetricFamily("nexus_build", "The running version", value={"version": __version__})

    def _request_families(self) -> Iterator[Metric]:
        names = ("model", "backend")
        requests = CounterMetricFamily("nexus_requests", "Finished requests", labels=(*names, "status"))
        duration = HistogramMetricFamily(
            "nexus_request_duration_seconds", "From the request read to its end", labels=names
        )
        first_byte = HistogramMetricFamily(
            "nexus_time_to_first_byte_seconds",
            "From the request read to the first body byte written",
            labels=names,
        )
        for labels, served in self._served.items():
            for status, count in served.statuses.items():
                requests.add_metric((*labels, str(status)), count)
            duration.add_metric(labels, served.duration.buckets(DURATION_BUCKETS), served.duration.total)
            first_byte.add_metric(
                labels, served.first_byte.buckets(FIRST_BYTE_BUCKETS), served.first_byte.total
            )
        yield from (requests, duration, first_byte)

    def _backend_families(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("nexus_attempts", "Ended attempts", labels=("backend", "outcome"))
        for backend, count in self._successes.items():
            attempts.add_metric((backend, "success"), count)
        for (backend, failure), count in self._failures.items():
            attempts.add_metric((backend, str(failure)), count)
        up = GaugeMetricFamily("nexus_backend_up", "1 while a backend is healthy", labels=("backend", "type"))
        in_flight = GaugeMetricFamily(
            "nexus_in_flight", "Requests a backend is working on", labels=("backend",)
        )
        for name, backend_type, is_up, running in self._backends():
            up.add_metric((name, backend_type), float(is_up))
            in_flight.add_metric((name,), float(running))
        yield from (attempts, up, in_flight)
