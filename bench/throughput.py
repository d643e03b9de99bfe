"""Requests a second, CPU per request and added latency: direct, nginx and Nexus in alternating runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from bench import wrk
from bench.plan import Plan
from bench.rows import Result, Row, Target, spread
from bench.stage import Place, Stage, instant_stage
from bench.wrk import Sample

# Below this the load generator or the machine is the bottleneck, not the gateway.
_LEAST_OF_DIRECT: Final = 0.45
_FOREIGN: Final = 0.05


def run(plan: Plan) -> Result:
    """Measure at many connections and at one."""
    with instant_stage(plan.files) as stage:
        lengths = {place.name: wrk.reply_length(place) for place in stage.places}
        checked = [wrk.verify(place, stage.folder) for place in stage.places]
        many = rounds(plan, stage, stage.places, lengths, connections=64, seconds=plan.load_seconds)
        one = rounds(plan, stage, stage.places, lengths, connections=1, seconds=plan.latency_seconds)
    bad = sum(sample.bad for sample in (*checked, *many, *one))
    void = _void(many, bad)
    rows = (*_throughput(many, void), _cpu(many, void), _latency(one, void))
    raw = {"reply_bytes": lengths, "checked": checked, "64 connections": many, "1 connection": one}
    return Result(rows, msgspec.to_builtins(raw), bad)


def rounds(
    plan: Plan,
    stage: Stage,
    places: Sequence[Place],
    lengths: dict[str, int],
    *,
    connections: int,
    seconds: int,
) -> list[Sample]:
    """Warm every place up, then measure all of them again and again."""
    samples = []
    for number in range(plan.warmups + plan.rounds):
        for place in places:
            length = lengths.get(place.name, 0)
            sample = wrk.load(place, stage.folder, connections=connections, seconds=seconds, length=length)
            if number >= plan.warmups:
                samples.append(sample)
                plan.say(
                    f"  {place.name}: {sample.rate:,.0f}/s, p50 {sample.p50} µs, {sample.cpu_us:.1f} µs CPU"
                )
    return samples


def median_of(samples: Sequence[Sample], place: str, figure: Callable[[Sample], float]) -> float:
    """Return the median of one figure over the runs of one place."""
    return statistics.median(_of(samples, place, figure))


def _of(samples: Sequence[Sample], place: str, figure: Callable[[Sample], float]) -> list[float]:
    return [figure(sample) for sample in samples if sample.place == place]


def rate(sample: Sample) -> float:
    """Replies a second."""
    return sample.rate


def cpu_us(sample: Sample) -> float:
    """CPU microseconds per reply."""
    return sample.cpu_us


def p50(sample: Sample) -> float:
    """Median latency in microseconds."""
    return sample.p50


def _void(samples: Sequence[Sample], bad: int) -> str:
    if bad:
        return f"{bad} replies with a wrong status or length"
    if (part := median_of(samples, "nginx", rate) / median_of(samples, "direct", rate)) < _LEAST_OF_DIRECT:
        return f"nginx reached only {part:.2f} of direct: the machine was busy with something else"
    return ""


def _throughput(samples: Sequence[Sample], void: str) -> tuple[Row, ...]:
    direct, nginx, nexus = (_of(samples, place, rate) for place in ("direct", "nginx", "nexus"))
    ratio = statistics.median(nexus) / statistics.median(nginx)
    paired = [ours / theirs for ours, theirs in zip(nexus, nginx, strict=True)]
    foreign = max(sample.foreign for sample in samples if sample.place != "direct")
    detail = f"{spread(nexus)}/s, nginx {spread(nginx)}/s; run by run {spread(paired, '.2f')}"
    if foreign > _FOREIGN:
        detail += f"; others used up to {foreign:.0%} of the gateway's core"
    part = statistics.median(nginx) / statistics.median(direct)
    return (
        Row("Throughput, 64 connections", ratio, "of nginx", Target(0.30, at_least=True), detail, void),
        Row(
            "nginx beside a direct call",
            part,
            "of direct",
            Target(_LEAST_OF_DIRECT, at_least=True),
            f"direct {spread(direct)}/s",
        ),
    )


def _cpu(samples: Sequence[Sample], void: str) -> Row:
    nginx, nexus = (_of(samples, place, cpu_us) for place in ("nginx", "nexus"))
    ratio = statistics.median(nexus) / max(statistics.median(nginx), 0.001)
    detail = f"{spread(nexus, '.1f')} µs, nginx {spread(nginx, '.1f')} µs"
    return Row("CPU per request", ratio, "x nginx", Target(3.0), detail, void)


def _latency(samples: Sequence[Sample], void: str) -> Row:
    direct, nginx, nexus = (_of(samples, place, p50) for place in ("direct", "nginx", "nexus"))
    base = statistics.median(direct)
    added, theirs = statistics.median(nexus) - base, statistics.median(nginx) - base
    detail = f"{spread(nexus)} µs, nginx {spread(nginx)} µs, direct {spread(direct)} µs"
    if theirs <= 0:
        void = void or "nginx added nothing: the machine was busy with something else"
    return Row(
        "Added median latency, 1 connection", added / max(theirs, 1), "x nginx", Target(2.5), detail, void
    )
