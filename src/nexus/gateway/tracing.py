"""What a trace is told of a request that has ended."""

from __future__ import annotations

from typing import Final

from nexus.domain import Outcome
from nexus.gateway.exchange import Exchange
from nexus.observe.tracing import Asked, Tracer
from nexus.routing.decision import Decision
from nexus.tasks import Clock

CLOSE_SECONDS: Final = 3.0


class TraceLog:
    """Hands ended requests to a tracer.

    Args:
        tracer: makes the spans.
    """

    __slots__ = ("_tracer",)

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def observe(self, outcome: Outcome, exchange: Exchange) -> None:
        """Have the spans of one request made."""
        trace = exchange.trail.trace
        if trace is None or not trace.sampled:
            return
        decisions = [made for made in exchange.trail.decisions if isinstance(made, Decision)]
        self._tracer.ended(outcome, trace, [_asked(made) for made in decisions])


async def export_last(tracer: Tracer | None, clock: Clock) -> None:
    """Export what is left; a collector that does not answer is waited for ``CLOSE_SECONDS``."""
    if tracer is None:
        return
    tracer.begin_close()
    deadline = clock.now() + CLOSE_SECONDS
    while not tracer.closed and clock.now() < deadline:
        await clock.sleep(0.02)


def _asked(decision: Decision) -> Asked:
    backend = decision.candidate.backend
    origin = backend.spec.origin
    return Asked(str(backend.type), origin.host, origin.port)
