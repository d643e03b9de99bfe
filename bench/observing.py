"""What seeing costs: metrics, log, history and traffic alone and together, and open dashboards."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from bench import configs, machine, wrk
from bench.plan import Plan
from bench.processes import BenchError, free_ports, pinned
from bench.rows import Result, Row, Target, spread
from bench.stage import Place, Stage, instant_stage, nexus, ready
from bench.throughput import cpu_us, median_of, p50, rate
from bench.wrk import Sample

_ALL: Final = "metrics,log,history,traffic"
_VARIANTS: Final = {
    "off": "none",
    "metrics": "metrics",
    "log": "log",
    "history": "history",
    "traffic": "traffic",
    "all": _ALL,
    "all, 1 page": _ALL,
    "all, 20 pages": _ALL,
}
_PAGES: Final = {"all, 1 page": 1, "all, 20 pages": 20}


def run(plan: Plan) -> Result:
    """Measure every variant in alternating runs beside nginx."""
    with instant_stage(plan.files) as stage, contextlib.ExitStack() as stack:
        places = [stage.nginx, *(_place(stack, stage, name) for name in _VARIANTS)]
        lengths = {place.name: wrk.reply_length(place) for place in places}
        many = _rounds(plan, stage, places, lengths, connections=64, seconds=max(1, plan.load_seconds // 2))
        pair = [place for place in places if place.name in ("all", "all, 20 pages")]
        one = _rounds(plan, stage, pair, lengths, connections=1, seconds=max(1, plan.latency_seconds // 2))
    bad = sum(sample.bad for sample in (*many, *one))
    void = f"{bad} replies with a wrong status or length" if bad else ""
    rows = [_alone(many, name, void) for name in _VARIANTS]
    rows += [_ratio(many, void), _share(many, void), *_pages(many, one, void)]
    raw = {"64 connections": many, "1 connection": one}
    return Result(tuple(rows), msgspec.to_builtins(raw), bad)


def _place(stack: contextlib.ExitStack, stage: Stage, name: str) -> Place:
    folder = stage.folder / name.replace(", ", "-").replace(" ", "-")
    folder.mkdir()
    port = free_ports(1)[0]
    config = configs.nexus_toml(folder, port, stage.backends)
    gateway = stack.enter_context(nexus(folder, config, launcher=("-m", "bench.partial", _VARIANTS[name])))
    ready(gateway, port)
    return Place(name, port, gateway.pid)


def _rounds(
    plan: Plan,
    stage: Stage,
    places: Sequence[Place],
    lengths: dict[str, int],
    *,
    connections: int,
    seconds: int,
) -> list[Sample]:
    samples = []
    for number in range(plan.warmups + plan.rounds):
        # Back and forth: what a slow minute of the machine does to the first it does to the last, too.
        for place in places if number % 2 == 0 else reversed(places):
            with _open_pages(place):
                length = lengths[place.name]
                sample = wrk.load(
                    place, stage.folder, connections=connections, seconds=seconds, length=length
                )
            if number >= plan.warmups:
                samples.append(sample)
                plan.say(f"  {place.name}: {sample.rate:,.0f}/s, p50 {sample.p50} µs, {sample.cpu_us:.1f} µs")
    return samples


@contextlib.contextmanager
def _open_pages(place: Place) -> Iterator[None]:
    number = _PAGES.get(place.name, 0)
    if not number:
        yield
        return
    command = pinned([sys.executable, "-m", "bench.pages", str(place.port), str(number)], machine.LOAD_CORE)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=machine.ROOT
    ) as reader:
        assert reader.stdin is not None  # noqa: S101  asked for above
        assert reader.stdout is not None  # noqa: S101  asked for above
        if reader.stdout.readline() != "open\n":
            raise BenchError(f"{number} pages could not be opened")
        yield
        reader.stdin.close()
        if reader.wait(30) != 0:
            raise BenchError("a page was sent away while it was read")


def _alone(samples: Sequence[Sample], name: str, void: str) -> Row:
    rates, cpus = _values(samples, name)
    part = median_of(samples, name, rate) / median_of(samples, "nginx", rate)
    return Row(
        f"Seeing: {name}", part, "of nginx", None, f"{spread(rates)}/s, {spread(cpus, '.1f')} µs", void
    )


def _ratio(samples: Sequence[Sample], void: str) -> Row:
    rates, _ = _values(samples, "all, 1 page")
    nginx, _ = _values(samples, "nginx")
    part = statistics.median(rates) / statistics.median(nginx)
    detail = f"{spread(rates)}/s, nginx {spread(nginx)}/s"
    return Row(
        "Throughput, all and one dashboard", part, "of nginx", Target(0.30, at_least=True), detail, void
    )


def _share(samples: Sequence[Sample], void: str) -> Row:
    cost = median_of(samples, "all", cpu_us) - median_of(samples, "off", cpu_us)
    alone = ", ".join(
        f"{name} {median_of(samples, name, cpu_us) - median_of(samples, 'off', cpu_us):.1f}"
        for name in ("metrics", "log", "history", "traffic")
    )
    return Row(
        "Seeing: CPU of all consumers", cost, "µs", Target(25.0), f"differences of runs: {alone}", void
    )


def _pages(many: Sequence[Sample], one: Sequence[Sample], void: str) -> tuple[Row, ...]:
    rows = []
    for what, samples, figure in (("throughput", many, rate), ("p50, 1 connection", one, p50)):
        plain = [figure(sample) for sample in samples if sample.place == "all"]
        paged = [figure(sample) for sample in samples if sample.place == "all, 20 pages"]
        noise = max(plain) / min(plain) - 1.0
        pairs = [theirs / ours for ours, theirs in zip(plain, paged, strict=True)]
        change = abs(statistics.median(pairs) - 1.0)
        detail = f"pairs {spread(pairs, '.2f')}; run noise {noise:.0%}"
        rows.append(
            Row(
                f"20 dashboards: {what}", change / max(noise, 0.01), "of run noise", Target(1.0), detail, void
            )
        )
    return tuple(rows)


def _values(samples: Sequence[Sample], name: str) -> tuple[list[float], list[float]]:
    mine = [sample for sample in samples if sample.place == name]
    return [sample.rate for sample in mine], [sample.cpu_us for sample in mine]
