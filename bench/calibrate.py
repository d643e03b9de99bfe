"""How fast the gateway's core is, alone and while the load's core works.

Cores of a virtual machine are often two threads of one real core: then everything on the gateway's
core takes up to twice the CPU time while the load runs. It is so for nginx and for Nexus, which is why
ratios are compared; the fact belongs beside the absolute figures.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Final

from bench import machine
from bench.processes import pinned

_LOOP: Final = 60_000
_ROUNDS: Final = 40
_SPIN: Final = "while True: pass"


def neighbour() -> str:
    """Return one sentence for the facts of the machine."""
    alone = _measured()
    with subprocess.Popen(pinned([sys.executable, "-c", _SPIN], machine.LOAD_CORE)) as spinning:
        time.sleep(0.2)
        beside = _measured()
        spinning.kill()
    return (
        f"a loop in Python takes {alone:.1f} ms of CPU on the gateway's core, "
        f"{beside:.1f} ms ({beside / alone:.2f} x) while the load's core works"
    )


def _measured() -> float:
    command = pinned([sys.executable, "-m", "bench.calibrate"], machine.GATEWAY_CORE)
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=machine.ROOT, timeout=60)
    return float(done.stdout)


def _loop() -> None:
    kept: dict[int, tuple[int, str]] = {}
    for number in range(_LOOP):
        kept[number & 255] = (number, str(number))


def _median_ms() -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        _loop()
        times.append((time.process_time() - start) * 1000)
    return sorted(times)[len(times) // 2]


if __name__ == "__main__":
    print(_median_ms())
