"""The only place that spawns tasks, and the clock.

Laws held here: every task has an owner, a name and an end; many deadlines share one coarse
timer, since a timer for each wait costs as much as parsing the reply.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final, Protocol

_log: Final = logging.getLogger("nexus.tasks")

SWEEP_SECONDS: Final = 0.25


class Clock(Protocol):
    """Time as a dependency."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        ...


class SystemClock:
    """The machine's own time."""

    __slots__ = ()

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)


class TaskOwner:
    """Spawns named tasks, keeps them, reports their failures and ends them.

    Args:
        name: prefix of every task's name.
    """

    __slots__ = ("_name", "_tasks")

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start ``coroutine`` as a task that this owner keeps until it ends."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> int:
        """Cancel what still runs, wait for it, and return how many tasks were cut."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
            self._tasks.difference_update(running)
        return len(running)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task %s failed", task.get_name(), exc_info=error)


class Expiring(Protocol):
    """Something with a deadline.

    ``deadline`` is in the clock's monotonic seconds; ``inf`` means none. It may be moved at any
    time at the cost of one assignment.
    """

    deadline: float

    def expired(self, now: float) -> None:
        """Called once per sweep while ``deadline`` has passed; move it or leave the watch."""
        ...


class DeadlineWatch:
    """Many deadlines on one timer, checked every ``SWEEP_SECONDS``.

    A deadline is honoured late by up to one sweep, never early.
    """

    __slots__ = ("_clock", "_handle", "_watched")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: set[Expiring] = set()
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, item: Expiring) -> None:
        """Watch ``item`` until :meth:`discard`."""
        self._watched.add(item)
        if self._handle is None:
            self._schedule()

    def discard(self, item: Expiring) -> None:
        """Stop watching ``item``; unknown items are ignored."""
        self._watched.discard(item)

    def close(self) -> None:
        """Forget everything."""
        self._watched.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def sweep(self) -> None:
        """Expire what is due now."""
        now = self._clock.now()
        for item in [item for item in self._watched if item.deadline <= now]:
            # One that expires may step a request on, which moves the deadline of another or ends it.
            if item.deadline > now or item not in self._watched:
                continue
            try:
                item.expired(now)
            except Exception:  # noqa: BLE001  # a defect of one is no reason to forget the deadlines of all others
                _log.exception("what a passed deadline ends has failed")

    def _schedule(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick)

    def _tick(self) -> None:
        self._handle = None
        self.sweep()
        if self._watched:
            self._schedule()
