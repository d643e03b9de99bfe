"""LiteLLM's proxy as a peer, in an environment of its own, against the same upstream."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from bench import configs, machine
from bench.plan import Plan
from bench.processes import BenchError, Running, free_ports
from bench.rows import Result, Row, spread
from bench.stage import Place, instant_stage
from bench.throughput import cpu_us, median_of, rate, rounds

_FOLDER: Final = machine.ROOT / "bench" / ".peers" / "litellm"
_PACKAGE: Final = "litellm[proxy]"
_START_SECONDS: Final = 90.0


def run(plan: Plan) -> Result:
    """Measure throughput and CPU per request of LiteLLM beside nginx and Nexus.

    Its replies are counted by status: it writes them anew, so that their length is its own.
    """
    program = _installed(plan)
    with instant_stage(plan.files) as stage:
        port = free_ports(1)[0]
        config = configs.litellm_yaml(stage.folder, stage.backends)
        command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        peer = Running(
            "litellm",
            [*command, "--num_workers", "1"],
            core=machine.GATEWAY_CORE,
            output=stage.folder / "litellm.out",
            environ={
                "LITELLM_LOG": "ERROR",
                "LITELLM_TELEMETRY": "False",
                # Without it the proxy does not start without a key, which no request here has.
                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            },
        )
        with peer:
            peer.answers(port, "/health/liveliness", seconds=_START_SECONDS)
            places = (stage.nginx, stage.nexus, Place("litellm", port, peer.pid, exact=False))
            samples = rounds(plan, stage, places, {}, connections=64, seconds=plan.load_seconds)
    bad = sum(sample.bad for sample in samples)
    void = f"{bad} replies with a wrong status" if bad else ""
    rates = [sample.rate for sample in samples if sample.place == "litellm"]
    cpus = [sample.cpu_us for sample in samples if sample.place == "litellm"]
    part = median_of(samples, "litellm", rate) / median_of(samples, "nginx", rate)
    times = median_of(samples, "litellm", cpu_us) / max(median_of(samples, "nginx", cpu_us), 0.001)
    rows = (
        Row(f"LiteLLM {_version(program)}: throughput", part, "of nginx", None, f"{spread(rates)}/s", void),
        Row("LiteLLM: CPU per request", times, "x nginx", None, f"{spread(cpus, '.0f')} µs", void),
    )
    return Result(rows, {"64 connections": msgspec.to_builtins(samples)}, bad)


def _installed(plan: Plan) -> Path:
    program = _FOLDER / "bin" / "litellm"
    if not program.exists():
        plan.say(f"  installing {_PACKAGE} into {_FOLDER.relative_to(machine.ROOT)} ...")
        _do([sys.executable, "-m", "venv", str(_FOLDER)])
        _do([str(_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", _PACKAGE])
    return program


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stderr[-1500:]}")


def _version(program: Path) -> str:
    code = "import importlib.metadata as m; print(m.version('litellm'))"
    command = [str(program.parent / "python"), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
