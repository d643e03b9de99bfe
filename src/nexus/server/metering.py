"""Where the metrics page reads what is not counted."""

from __future__ import annotations

from collections.abc import Iterator

from nexus.config.load import Loaded
from nexus.domain import BackendStatus
from nexus.observe.histogram import Histogram
from nexus.observe.metrics import RequestMetrics
from nexus.observe.surroundings import BackendRow, Sources
from nexus.observe.writer import LineWriter
from nexus.registry.registry import Registry


def request_metrics(loaded: Loaded, registry: Registry, writer: LineWriter, lag: Histogram) -> RequestMetrics:
    """Return the metrics of one gateway.

    Args:
        loaded: the configuration.
        registry: the fleet.
        writer: whose dropped lines are told.
        lag: of the event loop.
    """
    section = loaded.config.metrics
    sources = Sources(
        backends=lambda: _backends(registry),
        models=lambda: _models(registry),
        dropped=lambda: writer.dropped,
        lag=lag,
    )
    return RequestMetrics(sources, max_series=section.max_series, genai=section.genai)


def _backends(registry: Registry) -> Iterator[BackendRow]:
    for backend in registry.snapshot.backends.values():
        spec = backend.spec
        up = backend.status is BackendStatus.HEALTHY
        running = registry.in_flight(spec.id)
        yield BackendRow(spec.name, backend.type.value, spec.source.value, up, running)


def _models(registry: Registry) -> int:
    index = registry.snapshot.index.values()
    return sum(any(candidate.in_rotation for candidate in candidates) for candidates in index)
