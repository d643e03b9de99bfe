"""One call at a time to come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from nexus.tasks import Clock, TaskOwner


class Alarm:
    """Calls back once at the earliest time that it was set to; one task, however often it is set.

    Args:
        clock: the time.
        tasks: owns the wait.
        ring: called when the time has come; sets the alarm again if it wants to.
    """

    __slots__ = ("_at", "_clock", "_ring", "_task", "_tasks")

    def __init__(self, clock: Clock, tasks: TaskOwner, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._tasks = tasks
        self._ring = ring
        self._at = math.inf
        self._task: asyncio.Task[Any] | None = None

    def set(self, at: float) -> None:
        """Ring at ``at`` (monotonic seconds), unless it rings earlier anyway."""
        if at < self._at:
            self.cancel()
            self._at = at
            self._task = self._tasks.spawn(self._wait(at), "alarm")

    def cancel(self) -> None:
        """Do not ring."""
        task, self._task = self._task, None
        self._at = math.inf
        if task is not None:
            task.cancel()

    async def _wait(self, at: float) -> None:
        await self._clock.sleep(max(0.0, at - self._clock.now()))
        self._task, self._at = None, math.inf
        self._ring()
