"""What it costs to observe one request that has ended: to count it, to log it, to remember it.

    python -m bench.observe            # the table
    python -m bench.observe --quick    # a few rounds: only shows that it runs

Each row is the best of many short rounds of CPU time, so that other work on the machine counts
little. The outcomes and the decisions are those of a real fleet: one attempt on one of three
backends, with the tokens that it counted.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from random import Random

from bench.cost import cost
from nexus.domain import (
    Attempt,
    BackendSpec,
    BackendStatus,
    BackendType,
    FailureKind,
    Gaps,
    Model,
    Origin,
    Outcome,
    Requirements,
    RouteReason,
    Usage,
    replace,
)
from nexus.gateway.packing import TrailPacking
from nexus.gateway.trail import Trail
from nexus.observe import logs
from nexus.observe.history import RequestHistory
from nexus.observe.metrics import RequestMetrics
from nexus.observe.request_log import RequestLog
from nexus.observe.surroundings import Sources
from nexus.observe.writer import LineWriter
from nexus.registry import Registry
from nexus.routing import decide
from nexus.tasks import SystemClock

REQUEST = Requirements(surface="chat", model="llama3", text_bytes=350)
PLAIN = Outcome(
    request_id="0f4c2ab19d7e5b3a6c8d1e2f",
    surface="chat",
    model="gpt-4",
    served_model="llama3",
    backend="b1",
    backend_type="vllm",
    status=200,
    attempts=(Attempt("b1", "b1", "llama3", status=200, sent=True, first_byte_seconds=0.041, seconds=0.812),),
    route_reason=RouteReason.CAPABILITY_MATCH,
    usage=Usage(87, 64),
    started_at=1_790_000_000.25,
    first_byte_seconds=0.0412,
    seconds=0.8123,
    bytes_out=512,
    resolved_model="llama3",
    decision_seconds=0.000012,
    overhead_seconds=0.00021,
)
STREAM = replace(
    PLAIN, streamed=True, delta_events=63, gaps=Gaps([0, 0, 0, 40, 20, 3, 0, 0, 0, 0, 0, 0, 0, 0], 0.77)
)
FAILED_OVER = replace(
    PLAIN,
    attempts=(Attempt("b0", "b0", "llama3", FailureKind.BUSY, 503, "busy", sent=True), *PLAIN.attempts),
    route_reason=RouteReason.FAILOVER,
    rejected_by=("rotation", "busy"),
)
OUTCOMES = {"a plain reply": PLAIN, "a stream of 64 chunks": STREAM, "a failover": FAILED_OVER}


def trail() -> Trail:
    """Return what a request with one decision among three backends leaves behind."""
    registry = Registry(SystemClock())
    for number in range(3):
        spec = BackendSpec(f"b{number}", f"b{number}", Origin("http", "127.0.0.1", 1 + number))
        registry.register(spec, type=BackendType.VLLM, slots=100, surfaces=frozenset({"chat"}))
        registry.update(spec.id, status=BackendStatus.HEALTHY, reason="", models=(Model("llama3", "llama3"),))
    left = Trail()
    left.needs = REQUEST
    left.decisions.append(decide(registry.snapshot, REQUEST, 100.0, Random(2)))
    return left


def counting(outcome: Outcome) -> Callable[[], object]:
    """Return the counting of one outcome as a call without arguments."""
    metrics = RequestMetrics(Sources())
    return lambda: metrics.observe(outcome)


def logging(outcome: Outcome, style: str) -> Callable[[], object]:
    """Return the line of one outcome, written to nowhere."""
    # Nothing is dropped: a line that is costs next to nothing.
    writer = LineWriter(os.open(os.devnull, os.O_WRONLY), max_pending_bytes=1 << 40)
    writer.start()
    logs.configure(writer, "info", style, {})
    log = RequestLog(writer, style)
    return lambda: log.observe(outcome)


def remembering(outcome: Outcome) -> Callable[[], object]:
    """Return the keeping of one outcome, in a ring that is full."""
    history = RequestHistory(1000, 16 * 1024 * 1024, TrailPacking())
    left = trail()
    for _ in range(1001):
        history.remember(outcome, left)
    return lambda: history.remember(outcome, left)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds only")
    rounds, calls = (2, 200) if parser.parse_args().quick else (200, 2_000)
    print(f"{'µs of CPU':<26}{'metrics':>10}{'JSON log':>10}{'plain log':>11}{'history':>10}")
    for what, outcome in OUTCOMES.items():
        works = (
            counting(outcome),
            logging(outcome, "json"),
            logging(outcome, "pretty"),
            remembering(outcome),
        )
        spent = [cost(work, rounds, calls) for work in works]
        print(f"{what:<26}{spent[0]:>10.2f}{spent[1]:>10.2f}{spent[2]:>11.2f}{spent[3]:>10.2f}")


if __name__ == "__main__":
    main()
