"""The traffic of the last hour, by model and backend, for charts and rates: a consumer of outcomes.

Laws: counting costs the request path a few additions; names that no backend has never make a row,
and rows are bounded, so that memory is, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from nexus.domain import Outcome
from nexus.observe.traffic_rows import Bucket, TrafficRow

BUCKET_SECONDS: Final = 10
BUCKETS: Final = 360
ROWS_MAX: Final = 200
"""Of one bucket; what is beyond is counted under ``OTHER``."""
OTHER: Final = "other"
SAMPLES: Final = 256


class BackendTotals:
    """What one backend has done since Nexus started.

    Attributes:
        requests: ended ones that it answered last.
        tokens: generated.
        first_bytes: seconds to the first byte of the last good attempts.
    """

    __slots__ = ("first_bytes", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0
        self.first_bytes: deque[float] = deque(maxlen=SAMPLES)


class _Counts:
    """A row that grows, see :class:`TrafficRow`."""

    __slots__ = (
        "completion_tokens",
        "errors",
        "first_byte_count",
        "first_byte_sum",
        "prompt_tokens",
        "requests",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.first_byte_sum = 0.0
        self.first_byte_count = 0


class _Bucket:
    """What ended from ``at`` (Unix seconds) on, by model and backend."""

    __slots__ = ("at", "rows")

    def __init__(self, at: float) -> None:
        self.at = at
        self.rows: dict[tuple[str, str], _Counts] = {}


class Traffic:
    """Counts outcomes in buckets of ten seconds.

    Args:
        wall: Unix seconds now.

    Attributes:
        ended: requests that ended since the start.
        backends: totals by the name of a backend.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS)
        self._rows: dict[tuple[str, str], _Counts] = {}
        self._until = 0.0
        self.ended = 0
        self.backends: dict[str, BackendTotals] = {}

    def observe(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.ended += 1
        now = outcome.started_at + outcome.seconds
        if now >= self._until:
            self._begin(now)
        backend, usage = outcome.backend, outcome.usage
        model = outcome.served_model or outcome.resolved_model
        row = self._rows.get((model, backend)) or self._row(model, backend)
        row.requests += 1
        completion = outcome.delta_events
        if usage is not None:
            row.prompt_tokens += usage.prompt_tokens or 0
            completion = completion if usage.completion_tokens is None else usage.completion_tokens
        row.completion_tokens += completion
        if failed(outcome):
            row.errors += 1
        if outcome.first_byte_seconds is not None and backend:
            row.first_byte_sum += outcome.first_byte_seconds
            row.first_byte_count += 1
        if backend:
            totals = self.backends.get(backend)
            if totals is None:
                # Names come and go with discovery, and nobody may be looking who would tell.
                if len(self.backends) >= ROWS_MAX:
                    del self.backends[next(iter(self.backends))]
                totals = self.backends[backend] = BackendTotals()
            totals.requests += 1
            totals.tokens += completion
            last = outcome.attempts[-1] if outcome.attempts else None
            if last is not None and last.failure is None and last.first_byte_seconds is not None:
                totals.first_bytes.append(last.first_byte_seconds)

    def buckets(self) -> list[Bucket]:
        """Return the buckets of the last hour in which something ended, oldest first."""
        now = self._wall()
        oldest = now - BUCKETS * BUCKET_SECONDS
        return [_shown(bucket) for bucket in self._buckets if bucket.at >= oldest and bucket.rows]

    def finished(self, after: float) -> list[Bucket]:
        """Return buckets that began after ``after`` and in which nothing ends any more."""
        now = self._wall()
        oldest, newest = now - BUCKETS * BUCKET_SECONDS, now - BUCKET_SECONDS
        return [
            _shown(one) for one in self._buckets if oldest <= one.at <= newest and after < one.at and one.rows
        ]

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the totals of backends that are gone."""
        present = set(names)
        for name in [name for name in self.backends if name not in present]:
            del self.backends[name]

    def _begin(self, now: float) -> None:
        bucket = _Bucket(now // BUCKET_SECONDS * BUCKET_SECONDS)
        self._rows = bucket.rows
        self._until = bucket.at + BUCKET_SECONDS
        self._buckets.append(bucket)

    def _row(self, model: str, backend: str) -> _Counts:
        key = (model, backend) if len(self._rows) < ROWS_MAX else (OTHER, OTHER)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Counts()
        return row


def _shown(bucket: _Bucket) -> Bucket:
    rows = [
        TrafficRow(
            model,
            backend,
            row.requests,
            row.errors,
            row.prompt_tokens,
            row.completion_tokens,
            row.first_byte_sum,
            row.first_byte_count,
        )
        for (model, backend), row in bucket.rows.items()
    ]
    return Bucket(bucket.at, BUCKET_SECONDS, rows)


def failed(outcome: Outcome) -> bool:
    """Tell whether a request failed: an error of Nexus's or of its backend's, unless its client had left."""
    return (outcome.status >= 400 or bool(outcome.error)) and not outcome.client_closed


def percentile(samples: Iterable[float], share: float) -> float | None:
    """Return the nearest-rank percentile of ``samples``, ``share`` of 1, or ``None`` without any."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
