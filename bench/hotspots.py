"""Where the time of one request goes: by part of Nexus, by line, and by what the processor runs."""

from __future__ import annotations

import collections
import linecache
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench import sampler, wrk
from bench.plan import Plan
from bench.processes import cpu_seconds, kernel_share
from bench.stage import Stage, instant_stage, workshop

_LINES: Final = 30


def run(plan: Plan) -> None:
    """Print the profile of a gateway under 64 connections."""
    seconds = plan.load_seconds * 2
    with workshop() as folder:
        output = folder / "samples.json"
        with instant_stage(plan.files, launcher=("-m", "bench.sampler", str(output))) as stage:
            _load_sampled(stage, seconds)
        places = msgspec.json.decode(output.read_bytes(), type=list[sampler.Place])
    with instant_stage(plan.files) as stage:
        cost = _load_plain(stage, seconds)
    _show_parts(places, cost)
    _show_lines(places, cost)


def _load_sampled(stage: Stage, seconds: int) -> None:
    pid = stage.nexus.pid or 0
    wrk.load(stage.nexus, stage.folder, connections=64, seconds=1)
    worker = threading.Thread(
        target=wrk.load, args=(stage.nexus, stage.folder), kwargs={"connections": 64, "seconds": seconds}
    )
    worker.start()
    time.sleep(0.3)
    os.kill(pid, signal.SIGUSR2)
    time.sleep(max(0.2, seconds - 0.6))
    os.kill(pid, signal.SIGUSR2)
    worker.join()


def _load_plain(stage: Stage, seconds: int) -> float:
    """Measure without the sampler, print what the processor ran, and return CPU microseconds a request."""
    pid = stage.nexus.pid or 0
    wrk.load(stage.nexus, stage.folder, connections=64, seconds=1)
    before = cpu_seconds(pid)
    data = stage.folder / "perf.data"
    perf = _perf(pid, data, seconds)
    sample = wrk.load(stage.nexus, stage.folder, connections=64, seconds=seconds)
    spent = cpu_seconds(pid) - before
    print(
        f"{sample.rate:,.0f} requests/s, {sample.cpu_us:.1f} µs CPU a request, "
        f"{kernel_share(pid):.0%} of it in the kernel ({spent:.1f} s of CPU)\n"
    )
    if perf is not None:
        perf.wait(seconds + 30)
        _show_objects(data, sample.cpu_us)
    return sample.cpu_us


def _perf(pid: int, data: Path, seconds: int) -> subprocess.Popen[bytes] | None:
    if shutil.which("perf") is None:
        return None
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-p", str(pid), "-o", str(data)]
    return subprocess.Popen(
        [*command, "--", "sleep", str(max(1, seconds - 1))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _show_objects(data: Path, cost: float) -> None:
    """Print the kernel's, the interpreter's and each library's part."""
    command = ["perf", "report", "-i", str(data), "--sort", "dso", "--stdio", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    rows = re.findall(r"^\s*(\d+\.\d+)%\s+(\S+)", done.stdout, re.MULTILINE)
    if rows:
        print("What the processor ran (perf):")
        for part, name in rows:
            if float(part) >= 0.5:
                print(_row(float(part) / 100, cost, name))
        print()


def _show_parts(places: Sequence[sampler.Place], cost: float) -> None:
    parts: collections.Counter[str] = collections.Counter()
    for place in places:
        parts[_part(place.file)] += place.samples
    total = max(1, parts.total())
    print(f"By part, C code and kernel included ({total} samples):")
    for name, samples in parts.most_common():
        print(_row(samples / total, cost, name))
    print()


def _show_lines(places: Sequence[sampler.Place], cost: float) -> None:
    total = max(1, sum(place.samples for place in places))
    print("The most expensive lines, C code that they call included:")
    for place in places[:_LINES]:
        where = f"{_short(place.file)}:{place.line}"
        text = linecache.getline(place.file, place.line).strip()
        print(_row(place.samples / total, cost, f"{where:<44} {text[:70]}"))


def _row(part: float, cost: float, name: str) -> str:
    return f"  {part:>6.1%} {part * cost:>7.2f} µs  {name}"


def _part(file: str) -> str:
    path = Path(file)
    if "nexus" in path.parts:
        inside = path.parts[len(path.parts) - path.parts[::-1].index("nexus") :]
        return f"nexus.{Path(inside[0]).stem}"
    if path.name == "runners.py" and "asyncio" in path.parts:
        return "event loop (uvloop): polling, reading sockets, calling back"
    return path.parent.name


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-2:])
