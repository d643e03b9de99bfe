"""What the benchmark needs of the machine, and what it says about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Final

from nexus.native import is_compiled

ROOT: Final = Path(__file__).resolve().parent.parent
RAW: Final = ROOT / "bench" / "raw"
GATEWAY_CORE: Final = 0
LOAD_CORE: Final = 1

# Debian keeps nginx where the PATH of ordinary users does not lead.
_PATH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))

_TOOLS: Final = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux", "setpriv": "util-linux"}


def missing() -> str | None:
    """Return one sentence with the command that mends it, when the suite cannot run here."""
    if not sys.platform.startswith("linux"):
        return "the benchmark needs Linux: it pins processes to cores and reads /proc"
    absent = {package for tool, package in _TOOLS.items() if where(tool) is None}
    if absent:
        names = " ".join(sorted(absent))
        return f"the benchmark needs {names}; on Debian and Ubuntu: sudo apt-get install -y {names}"
    if not {GATEWAY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        return f"the benchmark needs the cores {GATEWAY_CORE} and {LOAD_CORE}, and may not use both here"
    return None


def where(tool: str) -> str | None:
    """Return the path of a program, or ``None``."""
    return shutil.which(tool, path=_PATH)


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, for this process and its children.

    Returns:
        The limit in force.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1_048_576
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def facts() -> dict[str, str]:
    """Return what somebody needs to compare this run with one of their own."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": f"{os.cpu_count()} (gateway on {GATEWAY_CORE}, load and upstream on {LOAD_CORE})",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": _python(),
        "build": "compiled" if is_compiled() else "interpreted",
        "packages": ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("uvloop", "httptools", "msgspec")
        ),
        "nginx": _first_number([where("nginx") or "nginx", "-v"]),
        "wrk": _first_number(["wrk", "-v"]),
        "load average": f"{os.getloadavg()[0]:.2f} at the start",
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
    }


def busy_seconds(core: int) -> float:
    """Return how long ``core`` has worked since the machine started, for whomever."""
    line = next(
        line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} ")
    )
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(part) for part in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return commit + (" with local changes" if git("status", "--porcelain", "--", "src") else "")


def _python() -> str:
    """Return the interpreter's version and, as it counts for a third of its speed, how it was built."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimized = "with" if "--enable-optimizations" in arguments else "without"
    # A distribution's own rules may optimize as much without that word.
    whose = "the system's " if sys.base_prefix == "/usr" else ""
    return f"{whose}{platform.python_version()}, configured {optimized} --enable-optimizations"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _first_number(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\S*", done.stdout + done.stderr)
    return found[0] if found else "unknown"
