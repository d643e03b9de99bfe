"""Whether processes are gone, those of other parents too."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

DEADLINE_SECONDS = 15.0
POLL_SECONDS = 0.02


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def all_gone(pids: Iterable[int]) -> bool:
    """Wait until they are; false when one stays."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    left = [pid for pid in pids if alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [pid for pid in left if alive(pid)]
    return not left
