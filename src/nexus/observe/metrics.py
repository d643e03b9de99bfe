"""Prometheus metrics: a consumer of outcomes.

Laws: the request path adds to plain numbers and the scrape turns them into metrics; model names
that no backend has never become labels, so that clients cannot make series.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from nexus.domain import FailureKind, Outcome
from nexus.observe.error_type import error_type
from nexus.observe.genai import GenAiMetrics
from nexus.observe.histogram import Histogram
from nexus.observe.page import pieces
from nexus.observe.series import MAX_SERIES, OTHER, SeriesBound, Tally
from nexus.observe.served import ServedPairs
from nexus.observe.surroundings import Sources, Surroundings

UNKNOWN: Final = "unknown"

DECISION_BUCKETS: Final[tuple[float, ...]] = (
    *(0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005, 0.01, 0.05),
)
OVERHEAD_BUCKETS: Final[tuple[float, ...]] = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
_TWO_OTHERS: Final = (OTHER, OTHER)


class RequestMetrics:
    """Counts outcomes and renders the scrape page.

    Args:
        sources: what is read at scrape time.
        max_series: bounds what outcomes make.
        genai: also count under the names of OpenTelemetry's conventions.
    """

    def __init__(self, sources: Sources, *, max_series: int = MAX_SERIES, genai: bool = False) -> None:
        self._surroundings = Surroundings(sources)
        self._bound = bound = SeriesBound(max_series)
        self._served = ServedPairs(bound)
        # Apart, because nearly all attempts succeed and a name alone is the cheaper key.
        self._successes: Tally[str] = Tally(bound, OTHER)
        self._failures: Tally[tuple[str, FailureKind | str]] = Tally(bound, _TWO_OTHERS)
        self._errors: Tally[tuple[str, str]] = Tally(bound, _TWO_OTHERS)
        self._fallbacks: Tally[tuple[str, str]] = Tally(bound, _TWO_OTHERS)
        self._rejections: Tally[str] = Tally(bound, OTHER)
        self._decision = Histogram(DECISION_BUCKETS)
        self._overhead = Histogram(OVERHEAD_BUCKETS)
        self._disconnects = 0
        self._genai = GenAiMetrics(bound) if genai else None

    def reconfigure(self, *, max_series: int, genai: bool) -> None:
        """Go by other settings from now on; series that are there stay, but for those of ``genai``."""
        self._bound.limit = max_series
        if self._genai is not None and not genai:
            self._genai.release()
            self._genai = None
        elif self._genai is None and genai:
            self._genai = GenAiMetrics(self._bound)

    def observe(self, outcome: Outcome) -> None:
        """Count one outcome."""
        pair = (outcome.served_model or outcome.resolved_model or UNKNOWN, outcome.backend)
        served = self._served.pairs.get(pair)
        if served is None:
            served = self._served.begin(pair)
        status = outcome.status
        if status in served.statuses:
            served.statuses[status] += 1
        else:
            self._served.begin_status(served, status)
        served.duration.add(outcome.seconds)
        if outcome.first_byte_seconds is not None:
            served.first_byte.add(outcome.first_byte_seconds)
        usage, completion = outcome.usage, None
        if usage is not None:
            completion = usage.completion_tokens
            served.prompt += usage.prompt_tokens or 0
            served.completion += completion or 0
        if completion is None:
            served.estimated += outcome.delta_events
        if outcome.gaps is not None:
            self._served.pace(served, outcome.gaps)
        self._observe_work(outcome, pair[0])

    def _observe_work(self, outcome: Outcome, model: str) -> None:
        """Count what Nexus did for it."""
        if outcome.decision_seconds:
            self._decision.add(outcome.decision_seconds)
        if outcome.overhead_seconds is not None:
            self._overhead.add(outcome.overhead_seconds)
        failure = None
        for attempt in outcome.attempts:
            failure = attempt.failure
            if failure is None:
                self._successes.add(attempt.backend)
            else:
                self._failures.add((attempt.backend, failure))
        if failure is not None or outcome.error or outcome.status >= 400 or outcome.client_closed:
            self._observe_failure(outcome, model)
        if outcome.fallback:
            self._fallbacks.add((outcome.resolved_model, outcome.served_model))
        for policy in outcome.rejected_by:
            self._rejections.add(policy)
        if self._genai is not None:
            self._genai.observe(outcome)

    def _observe_failure(self, outcome: Outcome, model: str) -> None:
        if outcome.client_closed:
            self._disconnects += 1
        elif kind := error_type(outcome):
            self._errors.add((kind, model))

    def render(self, accept: str) -> tuple[bytes, Iterator[bytes]]:
        """Return content type and body in the format that ``Accept`` asks for (Prometheus or OpenMetrics).

        The body comes in pieces; others may run between two of them.
        """
        encoder, content_type = choose_encoder(accept)
        return content_type.encode(), pieces(self.collect(), encoder)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, each as it is when it is asked for."""
        rows = 2
        for family in self._families():
            rows += len(family.samples)
            yield family
        folded = CounterMetricFamily(
            "nexus_metric_folded", "How often something was counted under other, for want of series"
        )
        folded.add_metric((), self._bound.folded)
        series = GaugeMetricFamily("nexus_metric_series", "Series on this page")
        series.add_metric((), rows)
        yield from (folded, series)

    def _families(self) -> Iterator[Metric]:
        yield from self._served.families()
        yield from self._counters()
        yield from self._own_share()
        yield from self._surroundings.families()
        if self._genai is not None:
            yield from self._genai.families()

    def _counters(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("nexus_attempts", "Ended attempts", labels=("backend", "outcome"))
        for backend, count in self._successes.counts.items():
            attempts.add_metric((backend, "success"), count)
        for (backend, failure), count in self._failures.counts.items():
            attempts.add_metric((backend, str(failure)), count)
        yield attempts
        for name, meaning, labels, tally in (
            ("nexus_errors", "Requests that ended with an error", ("error_type", "model"), self._errors),
            (
                "nexus_fallbacks",
                "Requests that went to a fallback of their model",
                ("from_model", "to_model"),
                self._fallbacks,
            ),
        ):
            family = CounterMetricFamily(name, meaning, labels=labels)
            for values, count in tally.counts.items():
                family.add_metric(values, count)
            yield family
        rejections = CounterMetricFamily(
            "nexus_rejections", "Candidates that a routing policy rejected", labels=("policy",)
        )
        for policy, count in self._rejections.counts.items():
            rejections.add_metric((policy,), count)
        disconnects = CounterMetricFamily("nexus_client_disconnects", "Clients that left before the end")
        disconnects.add_metric((), self._disconnects)
        yield from (rejections, disconnects)

    def _own_share(self) -> Iterator[Metric]:
        for name, meaning, histogram in (
            ("nexus_overhead_seconds", "Nexus's own share of a request", self._overhead),
            ("nexus_decision_seconds", "Spent on deciding where a request goes", self._decision),
        ):
            family = HistogramMetricFamily(name, meaning)
            family.add_metric((), histogram.buckets(), histogram.total)
            yield family
