"""What the page says beside requests: the fleet, the log, the event loop, the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from nexus import __version__
from nexus.observe.histogram import Histogram
from nexus.observe.loop_lag import LAG_BUCKETS


class BackendRow(NamedTuple):
    """One backend as it is now.

    Attributes:
        name, type, source: labels.
        up: requests may be sent to it, as far as checks know.
        in_flight: requests that it is working on.
    """

    name: str
    type: str
    source: str
    up: bool
    in_flight: int


class Sources(msgspec.Struct, frozen=True):
    """Where a scrape reads what is not counted.

    Attributes:
        backends: the fleet.
        models: how many models a request can be sent to.
        dropped: log lines that nobody has read.
        lag: how late the event loop was.
    """

    backends: Callable[[], Iterable[BackendRow]] = tuple
    models: Callable[[], int] = int
    dropped: Callable[[], int] = int
    lag: Histogram = msgspec.field(default_factory=lambda: Histogram(LAG_BUCKETS))


class Surroundings:
    """Reads them, and the process's own figures (Linux only, as far as the library goes).

    Args:
        sources: where.
    """

    __slots__ = ("_gc", "_process", "_sources")

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        # Each wants a registry; ours asks this object instead, so that all rows can be counted.
        self._process = ProcessCollector(registry=CollectorRegistry())
        self._gc = GCCollector(CollectorRegistry())

    def families(self) -> Iterator[Metric]:
        """Yield everything as it is now."""
        sources = self._sources
        yield from self._fleet()
        models = GaugeMetricFamily("nexus_models_available", "Models that a request can be sent to")
        models.add_metric((), sources.models())
        dropped = CounterMetricFamily(
            "nexus_log_lines_dropped", "Log lines dropped because the log was not read"
        )
        dropped.add_metric((), sources.dropped())
        lag = HistogramMetricFamily("nexus_event_loop_lag_seconds", "How late the event loop woke a sleeper")
        lag.add_metric((), sources.lag.buckets(), sources.lag.total)
        yield from (models, dropped, lag)
        yield InfoMetricFamily("nexus_build", "The running version", value={"version": __version__})
        yield from self._process.collect()
        yield from self._gc.collect()

    def _fleet(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "nexus_backend_up", "1 while a backend is healthy", labels=("backend", "type", "source")
        )
        in_flight = GaugeMetricFamily(
            "nexus_in_flight", "Requests a backend is working on", labels=("backend",)
        )
        for row in self._sources.backends():
            up.add_metric((row.name, row.type, row.source), float(row.up))
            in_flight.add_metric((row.name,), float(row.in_flight))
        yield from (up, in_flight)
