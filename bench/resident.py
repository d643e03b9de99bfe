"""What Nexus takes without load, how fast it is there, and whether its memory stays."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time

from bench import configs, machine, stage, wrk
from bench.plan import Plan
from bench.processes import BenchError, free_ports, pinned, rss_bytes
from bench.rows import Result, Row, Target, spread

_SETTLE_SECONDS = 2.0


def start(plan: Plan) -> Result:
    """Measure cold starts, the resident set after them, and the command line."""
    waits, idle = [], []
    with stage.workshop() as folder, contextlib.ExitStack() as stack:
        backends = free_ports(stage.BACKENDS)
        config = configs.upstream_nginx(folder, backends, plan.files)
        upstream = stack.enter_context(stage.nginx("upstream", config, machine.LOAD_CORE))
        upstream.answers(backends[0], "/v1/models")
        for _ in range(plan.starts):
            port = free_ports(1)[0]
            begun = time.perf_counter()
            with stage.nexus(folder, configs.nexus_toml(folder, port, backends)) as gateway:
                gateway.answers(port, "/health")
                waits.append(time.perf_counter() - begun)
                stage.ready(gateway, port)
                time.sleep(_SETTLE_SECONDS)
                idle.append(rss_bytes(gateway.pid) / 2**20)
            plan.say(f"  first /health after {waits[-1]:.2f} s, {idle[-1]:.1f} MB")
    helps = [_help_seconds() for _ in range(plan.starts)]
    count = f"of {plan.starts}"
    rows = (
        Row(
            "Resident set, idle",
            statistics.median(idle),
            "MB",
            Target(60.0),
            f"{spread(idle, '.1f')} {count}",
        ),
        Row(
            "First /health 200 after process start",
            statistics.median(waits),
            "s",
            Target(0.8),
            f"{spread(waits, '.2f')} {count}",
        ),
        Row("nexus --help", statistics.median(helps), "s", Target(0.25), f"{spread(helps, '.2f')} {count}"),
    )
    return Result(rows, {"health_seconds": waits, "rss_mb": idle, "help_seconds": helps})


def flat(plan: Plan) -> Result:
    """Compare the resident set early and late in a long run."""
    sizes: list[tuple[int, int]] = []
    early = bad = total = 0
    with stage.instant_stage(plan.files) as running:
        place = running.nexus
        length = wrk.reply_length(place)
        while total < plan.late_requests:
            sample = wrk.load(place, running.folder, connections=64, seconds=1, length=length)
            if not sample.requests:
                raise BenchError("nexus answers nothing")
            total += sample.requests
            bad += sample.bad
            sizes.append((total, rss_bytes(place.pid or 0)))
            if not early and total >= plan.early_requests:
                early = len(sizes) - 1
    (first_at, first), (last_at, last) = sizes[early], sizes[-1]
    plan.say(f"  {first / 2**20:.1f} MB at {first_at:,}, {last / 2**20:.1f} MB at {last_at:,}")
    row = Row(
        "Memory growth under load",
        (last / first - 1) * 100,
        "%",
        Target(3.0),
        f"{first / 2**20:.1f} MB at request {first_at:,}, {last / 2**20:.1f} MB at {last_at:,}",
        f"{bad} replies with a wrong status or length" if bad else "",
    )
    return Result((row,), {"requests_and_rss": sizes}, bad)


def _help_seconds() -> float:
    begun = time.perf_counter()
    command = pinned([sys.executable, "-m", "nexus", "--help"], machine.GATEWAY_CORE)
    subprocess.run(command, check=True, capture_output=True, cwd=machine.ROOT, timeout=30)
    return time.perf_counter() - begun
