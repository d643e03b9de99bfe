"""What is counted for one model on one backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from nexus.domain import GAP_BUCKETS, Gaps
from nexus.observe.histogram import Histogram, rows_of
from nexus.observe.series import OTHER, SeriesBound

DURATION_BUCKETS: Final[tuple[float, ...]] = (
    *(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
FIRST_BYTE_BUCKETS: Final[tuple[float, ...]] = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)

KINDS: Final = ("prompt", "completion", "completion_estimated")
"""Of tokens: as the backend counted them, and where it did not."""

_ROWS: Final = rows_of(DURATION_BUCKETS) + rows_of(FIRST_BYTE_BUCKETS) + len(KINDS)

Pair = tuple[str, str]
"""Model and backend."""


class Served:
    """The figures of one (model, backend); the request path adds to them as they are.

    Attributes:
        statuses: requests by the client's status.
        duration, first_byte: seconds.
        gaps: seconds between the chunks of streams, once there was one.
        prompt, completion: tokens as the backend counted them.
        estimated: events with content of replies that came without a count.
    """

    __slots__ = ("completion", "duration", "estimated", "first_byte", "gaps", "prompt", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int | str, int] = {}
        self.duration = Histogram(DURATION_BUCKETS)
        self.first_byte = Histogram(FIRST_BYTE_BUCKETS)
        self.gaps: Histogram | None = None
        self.prompt = 0
        self.completion = 0
        self.estimated = 0

    def pace(self, gaps: Gaps) -> None:
        """Count the times between the chunks of one stream."""
        if self.gaps is None:
            self.gaps = Histogram(GAP_BUCKETS)
        self.gaps.merge(gaps.counts, gaps.seconds)

    def tokens(self) -> Iterator[tuple[str, int]]:
        """Yield kinds of tokens of which there were any."""
        counts = (self.prompt, self.completion, self.estimated)
        for kind, count in zip(KINDS, counts, strict=True):
            if count:
                yield kind, count


class ServedPairs:
    """All of them, as many as the bound admits.

    Attributes:
        pairs: by model and backend.
    """

    __slots__ = ("_bound", "_other", "pairs")

    def __init__(self, bound: SeriesBound) -> None:
        self._bound = bound
        self._other = Served()
        self.pairs: dict[Pair, Served] = {}

    def begin(self, pair: Pair) -> Served:
        """Return where ``pair``, which was not there so far, is counted from now on."""
        if pair == (OTHER, OTHER) or not self._bound.admits(_ROWS):
            self.pairs[OTHER, OTHER] = self._other
            return self._other
        served = self.pairs[pair] = Served()
        return served

    def begin_status(self, served: Served, status: int) -> None:
        """Count a request that ended with a ``status`` that ``served`` had none of so far."""
        statuses = served.statuses
        key: int | str = status if self._bound.admits(1) else OTHER
        statuses[key] = statuses.get(key, 0) + 1

    def pace(self, served: Served, gaps: Gaps) -> None:
        """Count the times between the chunks of one stream."""
        if served.gaps is None and not self._bound.admits(rows_of(GAP_BUCKETS)):
            served = self.pairs[OTHER, OTHER] = self._other
        served.pace(gaps)

    def families(self) -> Iterator[Metric]:
        """Yield what was counted."""
        names = ("model", "backend")
        requests = CounterMetricFamily("nexus_requests", "Ended requests", labels=(*names, "status"))
        tokens = CounterMetricFamily(
            "nexus_tokens",
            "Tokens as backends counted them; estimated: events with content of replies without a count",
            labels=("type", *names),
        )
        for pair, served in self.pairs.items():
            for status, count in served.statuses.items():
                requests.add_metric((*pair, str(status)), count)
            for kind, count in served.tokens():
                tokens.add_metric((kind, *pair), count)
        yield from (requests, tokens, *self._histograms(self.pairs))

    @staticmethod
    def _histograms(pairs: Mapping[Pair, Served]) -> Iterator[Metric]:
        for name, meaning, field in (
            ("nexus_request_duration_seconds", "From the request read to its end", "duration"),
            (
                "nexus_time_to_first_byte_seconds",
                "From the request read to the first body byte written",
                "first_byte",
            ),
            ("nexus_inter_chunk_seconds", "Between two chunks of a stream", "gaps"),
        ):
            family = HistogramMetricFamily(name, meaning, labels=("model", "backend"))
            for pair, served in pairs.items():
                histogram: Histogram | None = getattr(served, field)
                if histogram:
                    family.add_metric(pair, histogram.buckets(), histogram.total)
            yield family
