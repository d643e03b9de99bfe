"""Relaying streams: CPU per chunk at many chunks a second, memory per stream at many streams."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from bench import machine
from bench.plan import Plan
from bench.processes import BenchError, pinned
from bench.rows import Result, Row, Target, spread
from bench.sse_load import Order, Report
from bench.stage import Place, streaming_stage

_RATE: Final = 20.0
_SLOW_RATE: Final = 1.0
_OPENED_PER_SECOND: Final = 500
# Chunks that a stream has beyond those of the window: while others still open, and while readings are taken.
_MARGIN_SECONDS: Final = 4.0


class Run(msgspec.Struct, frozen=True):
    """One run against one place."""

    place: str
    report: Report

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of the relay per event in the window."""
        first, last = self.report.first, self.report.last
        return (last.cpu_seconds - first.cpu_seconds) / max(1, last.events - first.events) * 1e6

    @property
    def rate(self) -> float:
        """Events a second in the window."""
        first, last = self.report.first, self.report.last
        return (last.events - first.events) / (last.time - first.time)

    @property
    def bytes_per_stream(self) -> float:
        """Growth of the resident set for each stream, from before the first to the window's end."""
        before, last = self.report.before, self.report.last
        return (last.rss_bytes - before.rss_bytes) / max(1, last.flowing)


def fast(plan: Plan) -> Result:
    """Relay many chunks a second, through nginx and Nexus in turn."""
    order = _order(plan.streams, _RATE, plan.stream_seconds)
    runs = []
    with streaming_stage(plan.files, rate=_RATE, chunks=order.chunks) as stage:
        for _ in range(plan.stream_rounds):
            for place in (stage.nginx, stage.nexus):
                runs.append(run := _load(place, order))
                plan.say(f"  {place.name}: {run.rate:,.0f} chunks/s, {run.cpu_us:.1f} µs CPU a chunk")
    bad = _bad(runs, order.streams)
    void = _void(runs, order.streams * _RATE)
    nginx, nexus = ([run.cpu_us for run in runs if run.place == name] for name in ("nginx", "nexus"))
    ratio = statistics.median(nexus) / max(statistics.median(nginx), 0.001)
    rates = [run.rate for run in runs if run.place == "nexus"]
    detail = (
        f"{spread(nexus, '.1f')} µs, nginx {spread(nginx, '.1f')} µs; "
        f"{order.streams:,} streams, {spread(rates)} chunks/s"
    )
    row = Row("CPU per relayed chunk", ratio, "x nginx", Target(2.0), detail, void)
    failed = Row(
        "Failed streams, 20 chunks/s", bad, "streams", Target(0), f"of {len(runs) * order.streams:,}"
    )
    return Result(
        (row, failed), {"order": msgspec.to_builtins(order), "runs": msgspec.to_builtins(runs)}, bad
    )


def held(plan: Plan) -> Result:
    """Hold many slow streams in Nexus at once."""
    streams = min(plan.held_streams, (plan.files - 200) // 2)
    order = _order(streams, _SLOW_RATE, plan.held_seconds)
    with streaming_stage(plan.files, rate=_SLOW_RATE, chunks=order.chunks) as stage:
        run = _load(stage.nexus, order)
    bad = _bad([run], streams)
    short = streams < plan.held_streams
    void = f"ulimit -n {plan.files} allows {streams} streams only" if short else _void([run], streams)
    plan.say(f"  nexus: {run.report.last.flowing:,} streams, {run.bytes_per_stream / 1024:.1f} KB each")
    before, last = run.report.before, run.report.last
    pss = (last.pss_bytes - before.pss_bytes) / max(1, last.flowing)
    detail = (
        f"RSS {before.rss_bytes / 2**20:.0f} to {last.rss_bytes / 2**20:.0f} MB; "
        f"by PSS {pss / 1024:.1f} KB; {run.cpu_us:.1f} µs CPU a chunk"
    )
    rows = (
        Row("Failed streams, 1 chunk/s", bad, "streams", Target(0), f"of {streams:,} held at once"),
        Row("Memory per held stream", run.bytes_per_stream / 1024, "KB", Target(30.0), detail, void),
    )
    return Result(rows, {"order": msgspec.to_builtins(order), "runs": msgspec.to_builtins([run])}, bad)


def _order(streams: int, rate: float, window: float) -> Order:
    opening = streams / _OPENED_PER_SECOND
    lasting = opening + window + _MARGIN_SECONDS + 1 / rate
    chunks = math.ceil(lasting * rate)
    return Order(
        port=0, pid=0, streams=streams, chunks=chunks, opening=opening, window=window, lasting=lasting
    )


def _load(place: Place, order: Order) -> Run:
    if place.pid is None:
        raise BenchError(f"{place.name} has no process to watch")
    text = msgspec.json.encode(msgspec.structs.replace(order, port=place.port, pid=place.pid)).decode()
    command = pinned([sys.executable, "-m", "bench.sse_load", text], machine.LOAD_CORE)
    limit = 2 * order.lasting + 120
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=limit, cwd=machine.ROOT
    )
    if done.returncode:
        raise BenchError(f"the streaming load against {place.name} failed:\n{done.stderr[-1500:]}")
    return Run(place.name, msgspec.json.decode(done.stdout, type=Report))


def _bad(runs: Sequence[Run], streams: int) -> int:
    return sum(streams - run.report.complete for run in runs)


def _void(runs: Sequence[Run], expected: float) -> str:
    reasons = {f"{run.place}: {reason}" for run in runs for reason in run.report.failures}
    if reasons:
        return "; ".join(sorted(reasons)[:3])
    slow = [run for run in runs if not 0.95 * expected < run.rate < 1.05 * expected]
    if slow:
        return f"{slow[0].place} relayed {slow[0].rate:,.0f} chunks/s of {expected:,.0f}: not in balance"
    return ""
