"""What it costs to find servers on the network, and to go on looking."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from bench import configs, machine, stage
from bench.plan import Plan
from bench.processes import BenchError, Running, cpu_seconds, free_ports, rss_bytes
from bench.rows import Result, Row, Target

_SETTLE_SECONDS = 5.0
_FIND_SECONDS = 120.0


def run(plan: Plan) -> Result:
    """Announce servers, let a gateway find them, and measure its CPU while nothing changes."""
    count, seconds = plan.announced, plan.announced_seconds
    with stage.workshop() as folder, contextlib.ExitStack() as stack:
        ready = folder / "announced"
        # Loopback multicast reaches every process of this computer.
        service_type = f"_nx{os.urandom(6).hex()}._tcp.local."
        command = [sys.executable, "-m", "bench.announcer", service_type, str(count), str(ready)]
        announcer = stack.enter_context(
            Running("announcer", command, core=machine.LOAD_CORE, output=folder / "announcer.out")
        )
        _wait(announcer, ready)
        port = free_ports(1)[0]
        config = configs.browsing_toml(folder, port, service_type, count)
        gateway = stack.enter_context(stage.nexus(folder, config))
        found = gateway.answers(
            port, "/health", seconds=_FIND_SECONDS, contains=f'"healthy":{count},'.encode()
        )
        finding = cpu_seconds(gateway.pid)
        time.sleep(_SETTLE_SECONDS)
        before, started = cpu_seconds(gateway.pid), time.perf_counter()
        time.sleep(seconds)
        used, lasted = cpu_seconds(gateway.pid) - before, time.perf_counter() - started
        gateway.answers(port, "/health", contains=f'"healthy":{count},'.encode())
        resident = rss_bytes(gateway.pid) / 2**20
    plan.say(
        f"  {count} found after {found:.1f} s with {finding:.2f} s of CPU, then {used:.2f} s in {lasted:.0f}"
    )
    row = Row(
        f"CPU with {count} announced services",
        used / lasted * 100,
        "% of a core",
        Target(1.0),
        f"{used:.2f} s of CPU in {lasted:.0f} s; found {found:.1f} s after the start with {finding:.2f} s of "
        f"CPU; {resident:.0f} MB",
    )
    raw = {
        "services": count,
        "seconds": lasted,
        "cpu_seconds": used,
        "found_seconds": found,
        "finding_cpu_seconds": finding,
        "rss_mb": resident,
    }
    return Result((row,), raw)


def _wait(announcer: Running, ready: Path) -> None:
    deadline = time.perf_counter() + _FIND_SECONDS
    while not ready.exists():
        announcer.check()
        if time.perf_counter() > deadline:
            raise BenchError(f"the servers were not announced within {_FIND_SECONDS:g} s")
        time.sleep(0.05)
