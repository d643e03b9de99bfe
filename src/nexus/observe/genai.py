"""The metrics of OpenTelemetry's conventions for generative AI, off unless asked for.

Law: every name, label, value and bucket of that convention stands in this file and nowhere else, for
it is still in development. Source: the page "Semantic conventions for generative AI metrics" of
https://github.com/open-telemetry/semantic-conventions-genai, with dots written as underscores. Names
of models are those that are configured, never what a client made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from prometheus_client.core import HistogramMetricFamily, Metric

from nexus.domain import BackendType, Outcome
from nexus.observe.error_type import error_type
from nexus.observe.histogram import Bounds, Histogram, rows_of
from nexus.observe.series import OTHER, SeriesBound


class Instrument(msgspec.Struct, frozen=True):
    """One histogram of the convention.

    Attributes:
        name: on the page.
        meaning: in the convention's words.
        bounds: its standard buckets.
        last: the label that only it has, if any.
    """

    name: str
    meaning: str
    bounds: Bounds
    last: str = ""


_DURATION: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS: Final = tuple(float(4**power) for power in range(14))

REQUEST_DURATION: Final = Instrument(
    "gen_ai_server_request_duration", "Seconds of a request", _DURATION, "error_type"
)
TIME_TO_FIRST_TOKEN: Final = Instrument(
    "gen_ai_server_time_to_first_token", "Seconds to the first token of a streamed reply", _FIRST
)
TIME_PER_OUTPUT_TOKEN: Final = Instrument(
    "gen_ai_server_time_per_output_token", "Seconds for each token after the first", _PER_TOKEN
)
TOKEN_USAGE: Final = Instrument(
    "gen_ai_client_token_usage", "Tokens of a request", _TOKENS, "gen_ai_token_type"
)
INSTRUMENTS: Final = (REQUEST_DURATION, TIME_TO_FIRST_TOKEN, TIME_PER_OUTPUT_TOKEN, TOKEN_USAGE)

LABELS: Final = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
INPUT: Final = "input"
OUTPUT: Final = "output"

OPERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chat": "chat",
        "completions": "text_completion",
        "embeddings": "embeddings",
        "responses": "chat",
        "messages": "chat",
    }
)
"""Surface to operation; others are not counted."""

PROVIDERS: Final[Mapping[str, str]] = MappingProxyType({kind.value: kind.value for kind in BackendType})
"""Backend type to provider: ``openai`` is the convention's, the others are values of our own."""

Labels = tuple[str, ...]


class GenAiMetrics:
    """Counts outcomes under the convention's names.

    Args:
        bound: shared with all others on the page.
    """

    __slots__ = ("_bound", "_rows")

    def __init__(self, bound: SeriesBound) -> None:
        self._bound = bound
        self._rows: dict[Instrument, dict[Labels, Histogram]] = {each: {} for each in INSTRUMENTS}

    def observe(self, outcome: Outcome) -> None:
        """Count one outcome; what nobody was asked to serve has no provider and is left out."""
        operation = OPERATIONS.get(outcome.surface)
        if operation is None or not outcome.backend_type:
            return
        provider = PROVIDERS.get(outcome.backend_type, outcome.backend_type)
        labels = (operation, provider, outcome.resolved_model, outcome.served_model)
        error = "client_closed" if outcome.client_closed else error_type(outcome)
        self._add(REQUEST_DURATION, (*labels, error), outcome.seconds)
        usage = outcome.usage
        if usage is not None:
            if usage.prompt_tokens is not None:
                self._add(TOKEN_USAGE, (*labels, INPUT), float(usage.prompt_tokens))
            if usage.completion_tokens is not None:
                self._add(TOKEN_USAGE, (*labels, OUTPUT), float(usage.completion_tokens))
        first = outcome.first_byte_seconds
        if first is None or error or not outcome.streamed:
            return
        self._add(TIME_TO_FIRST_TOKEN, labels, first)
        # Only counted tokens: an event may carry several.
        tokens = usage.completion_tokens if usage is not None else None
        if tokens is not None and tokens > 1:
            self._add(TIME_PER_OUTPUT_TOKEN, labels, (outcome.seconds - first) / (tokens - 1))

    def families(self) -> Iterator[Metric]:
        """Yield what was counted."""
        for instrument, rows in self._rows.items():
            names = (*LABELS, instrument.last) if instrument.last else LABELS
            family = HistogramMetricFamily(instrument.name, instrument.meaning, labels=names)
            for labels, histogram in rows.items():
                family.add_metric(labels, histogram.buckets(), histogram.total)
            yield family

    def release(self) -> None:
        """Make room for others: nothing is counted here any more."""
        self._bound.used -= sum(
            rows_of(instrument.bounds) * len(rows) for instrument, rows in self._rows.items()
        )

    def _add(self, instrument: Instrument, labels: Labels, sample: float) -> None:
        rows = self._rows[instrument]
        histogram = rows.get(labels)
        if histogram is None:
            histogram = self._begin(instrument, labels)
        histogram.add(sample)

    def _begin(self, instrument: Instrument, labels: Labels) -> Histogram:
        rows = self._rows[instrument]
        if not self._bound.admits(rows_of(instrument.bounds)):
            labels = (OTHER,) * len(labels)
        return rows.setdefault(labels, Histogram(instrument.bounds))
