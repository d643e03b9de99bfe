"""What one call costs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cost(work: Callable[[], object], rounds: int, repeat: int) -> float:
    """Return microseconds of CPU per call: the best of ``rounds`` rounds of ``repeat`` calls."""
    best = float("inf")
    gc.collect()
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeat):
            work()
        best = min(best, time.process_time() - start)
    return best / repeat * 1e6
