"""What a request leaves behind for those who ask later why it went where it went."""

from __future__ import annotations

from bisect import bisect_left

from nexus.domain import GAP_BUCKETS, Gaps, Requirements
from nexus.observe.tracing import Trace
from nexus.protocol.sse import SseScanner
from nexus.routing.decision import Decision, Refusal


class Pace:
    """When the chunks of one stream left.

    Args:
        now: monotonic seconds of the first.
    """

    __slots__ = ("_counts", "_first", "_last")

    def __init__(self, now: float) -> None:
        self._first = self._last = now
        self._counts = [0] * (len(GAP_BUCKETS) + 1)

    def tick(self, now: float) -> None:
        """Note that a further chunk leaves at ``now``."""
        self._counts[bisect_left(GAP_BUCKETS, now - self._last)] += 1
        self._last = now

    def gaps(self) -> Gaps:
        """Return what was noted."""
        return Gaps(self._counts, self._last - self._first)


class Trail:
    """Grows while the request runs; only references are kept, nothing is worked out.

    Attributes:
        needs: what the request needs, once its body was read.
        decisions: every decision, in order; the last one may be a refusal.
        scanner: of the stream that is relayed now or was last.
        pace: of that stream, once it has begun.
        turn: monotonic seconds at which the newest decision was asked for.
        read_seconds: from the request read until the first decision.
        decision_seconds: spent on decisions.
        sent_seconds: from the newest decision to the bytes sent on, or ``None``.
        relayed_seconds: from the reply's first bytes read to their being written, or ``None``.
        trace: its identity in a distributed trace, while tracing is on.
    """

    __slots__ = (
        "decision_seconds",
        "decisions",
        "needs",
        "pace",
        "read_seconds",
        "relayed_seconds",
        "scanner",
        "sent_seconds",
        "trace",
        "turn",
    )

    def __init__(self) -> None:
        self.needs: Requirements | None = None
        self.decisions: list[Decision | Refusal] = []
        self.scanner: SseScanner | None = None
        self.pace: Pace | None = None
        self.trace: Trace | None = None
        self.turn = 0.0
        self.read_seconds = 0.0
        self.decision_seconds = 0.0
        self.sent_seconds: float | None = None
        self.relayed_seconds: float | None = None

    @property
    def deltas(self) -> int:
        """Events with content so far: about one token each."""
        return 0 if self.scanner is None else self.scanner.deltas

    def overhead(self) -> float | None:
        """Return Nexus's own share of the last attempt in seconds; ``None`` when no reply was relayed."""
        sent, relayed = self.sent_seconds, self.relayed_seconds
        if sent is None or relayed is None:
            return None
        return sent + relayed + (self.read_seconds if len(self.decisions) == 1 else 0.0)

    def rejected_by(self) -> tuple[str, ...]:
        """Return the policy of each rejection."""
        return tuple([found.policy for decided in self.decisions for found in decided.rejected])

    def resolved_model(self) -> str:
        """Return the first id that the asked name stands for, or nothing when no backend has had it."""
        if not self.decisions:
            return ""
        first = self.decisions[0]
        if isinstance(first, Refusal) and not first.known:
            return ""
        return first.plan.steps[0].model
