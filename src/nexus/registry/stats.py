"""Live counters: the only values that are read through a snapshot instead of from it.

They belong to a registered backend and to a (backend, model) pair, outlive every snapshot, and
are changed by leases and by the registry alone.
"""

from __future__ import annotations

import math
from typing import Final

from nexus.domain import FailureKind, Usage

EWMA_ALPHA: Final = 0.2
"""Of exponential moving averages: the share of the newest sample; the first counts whole."""

_WHOLE_REPLY_SHARE: Final = 0.05
BUSY_SECONDS: Final = 2.0
BUSY_CAP_SECONDS: Final = 60.0
REST_SECONDS: Final = 5.0

DEFAULT_BYTES_PER_TOKEN: Final = 6.0
RATIO_SAMPLES: Final = 20
RATIO_MIN_BYTES: Final = 2048


class TokenRatio:
    """Bytes of prompt text per token of one model, learned from what backends report.

    Law: a prompt that fits is never refused, so a prompt in tokens is only ever *under*estimated:
    ``text_bytes`` is divided by a ratio that is high. Traffic so far says nothing of the next
    prompt (twenty base64 prompts of 1.5 bytes a token, then English at 5), therefore what was
    learned may raise the divisor above the default of 6, for the scripts of three bytes a
    character whose tokens are longer than that, and never lowers it. Its spread is taken on the
    safe side: the highest ratio seen, or mean plus two deviations where that is more.

    ``prompt_tokens`` counts the chat template too, which drags the ratio of short prompts down;
    only prompts of at least ``RATIO_MIN_BYTES`` are learned from.
    """

    __slots__ = ("_squares", "count", "highest", "mean")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.highest = 0.0
        self._squares = 0.0

    @property
    def variance(self) -> float:
        """Variance of the samples (Welford's method), 0 before the second."""
        return self._squares / self.count if self.count else 0.0

    def observe(self, text_bytes: int, prompt_tokens: int) -> None:
        """Learn from one request: its prompt text in bytes and the backend's count of tokens."""
        if text_bytes < RATIO_MIN_BYTES or prompt_tokens <= 0:
            return
        ratio = text_bytes / prompt_tokens
        self.count += 1
        delta = ratio - self.mean
        self.mean += delta / self.count
        self._squares += delta * (ratio - self.mean)
        self.highest = max(self.highest, ratio)

    def lower_bound(self) -> float | None:
        """Return the learned divisor of bytes, or ``None`` before ``RATIO_SAMPLES`` samples."""
        if self.count < RATIO_SAMPLES:
            return None
        return max(self.highest, self.mean + 2 * math.sqrt(self.variance))

    def least_tokens(self, text_bytes: int) -> float:
        """Return the fewest tokens that ``text_bytes`` of prompt text may be."""
        return text_bytes / max(DEFAULT_BYTES_PER_TOKEN, self.lower_bound() or 0.0)


class Unrest:
    """When a whole registry is at rest, so that its pairs need not be asked one by one.

    Attributes:
        until: monotonic seconds; from then on no pair is busy or rests. It may be late, never early.
    """

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0.0


class BackendLoad:
    """Live counters of one backend.

    Attributes:
        in_flight: leases open now.
        attempts: leases ever opened.
        failures: ended leases that failed by the backend's fault, by kind.
        succeeded_at: monotonic seconds at which the last good lease ended.
    """

    __slots__ = ("attempts", "failures", "in_flight", "succeeded_at")

    def __init__(self) -> None:
        self.in_flight = 0
        self.attempts = 0
        self.failures: dict[FailureKind, int] = {}
        self.succeeded_at = -math.inf


class PairStats:
    """Live counters of one (backend, model).

    Args:
        unrest: is told how long the pair is busy or rests.

    Attributes:
        in_flight, attempts, failures: as in :class:`BackendLoad`.
        turn: number of the last lease, for round robin.
        first_byte: moving average in seconds of successful attempts, or ``None``.
        tokens_per_second: moving average of the reply's tokens, or ``None``.
        busy_until: monotonic seconds until which the pair asked to be left alone.
        busy_loading: it is busy because it loads the model.
        busy_streak: times in a row that it said so, a burst counted once.
        resting_until: monotonic seconds until which it ranks last.
        rest_cause: why, for display.
        ratio: bytes per token.
    """

    __slots__ = (
        "_unrest",
        "attempts",
        "busy_loading",
        "busy_streak",
        "busy_until",
        "failures",
        "first_byte",
        "in_flight",
        "ratio",
        "rest_cause",
        "resting_until",
        "tokens_per_second",
        "turn",
    )

    def __init__(self, unrest: Unrest | None = None) -> None:
        self._unrest = Unrest() if unrest is None else unrest
        self.in_flight = 0
        self.attempts = 0
        self.failures: dict[FailureKind, int] = {}
        self.turn = -1
        self.first_byte: float | None = None
        self.tokens_per_second: float | None = None
        self.busy_until = 0.0
        self.busy_loading = False
        self.busy_streak = 0
        self.resting_until = 0.0
        self.rest_cause = ""
        self.ratio = TokenRatio()

    def busy(self, now: float, retry_after: float | None, *, loading: bool) -> None:
        """Leave the pair alone for a while.

        Args:
            now: monotonic seconds.
            retry_after: seconds that the backend asked for, capped at 60; without them 2 seconds,
                doubled each time in a row. Refusals that arrive while it is busy already were
                sent before: they do not double.
            loading: it said that it loads the model.
        """
        if self.busy_until <= now:
            self.busy_streak += 1
        if retry_after is None:
            seconds = BUSY_SECONDS * 2.0 ** min(self.busy_streak - 1, 5)
        else:
            seconds = max(0.0, retry_after)
        self.busy_until = max(self.busy_until, now + min(BUSY_CAP_SECONDS, seconds))
        self._unrest.until = max(self._unrest.until, self.busy_until)
        self.busy_loading = loading

    def loaded(self) -> None:
        """End being busy if that was because of loading."""
        if self.busy_loading:
            self.busy_until = 0.0
            self.busy_streak = 0
            self.busy_loading = False

    def rest(self, now: float, cause: str) -> None:
        """Rank the pair last for ``REST_SECONDS``; it is never excluded for it."""
        self.resting_until = now + REST_SECONDS
        self._unrest.until = max(self._unrest.until, self.resting_until)
        self.rest_cause = cause

    def succeeded(
        self,
        first_byte: float | None,
        seconds: float = 0.0,
        usage: Usage | None = None,
        text_bytes: int = 0,
    ) -> None:
        """Fold in a success, which ends a busy streak.

        Args:
            first_byte: seconds until the first byte, or ``None``.
            seconds: from the decision to the end.
            usage: what the backend counted, or ``None``.
            text_bytes: bytes of prompt text that it counted for.
        """
        self.busy_streak = 0
        if first_byte is not None:
            average = self.first_byte
            self.first_byte = first_byte if average is None else average + EWMA_ALPHA * (first_byte - average)
        if usage is None:
            return
        if text_bytes >= RATIO_MIN_BYTES and usage.prompt_tokens is not None:
            self.ratio.observe(text_bytes, usage.prompt_tokens)
        generated = usage.completion_tokens
        if generated and seconds > 0.0:
            # A reply that came in one piece was generated before its first byte.
            streamed = seconds - (first_byte or 0.0)
            rate = generated / (streamed if streamed > _WHOLE_REPLY_SHARE * seconds else seconds)
            average = self.tokens_per_second
            self.tokens_per_second = rate if average is None else average + EWMA_ALPHA * (rate - average)
