"""How late the event loop is."""

from __future__ import annotations

import asyncio

from nexus.observe.loop_lag import LoopLag
from nexus.tasks import SystemClock, TaskOwner


class LateClock(SystemClock):
    """Wakes every sleeper later than asked, by as much as a test says."""

    def __init__(self, *late: float) -> None:
        self.time = 100.0
        self.late = list(late)
        self.asleep = asyncio.Event()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if not self.late:
            self.asleep.set()
            await asyncio.Event().wait()
        self.time += seconds + self.late.pop(0)


async def test_every_late_waking_is_counted() -> None:
    clock = LateClock(0.0, 0.004, 0.3, -0.001)
    lag = LoopLag(clock)
    owner = TaskOwner("test")
    owner.spawn(lag.run(), "lag")
    await clock.asleep.wait()
    assert await owner.close() == 1
    reached = dict(lag.seconds.buckets())
    assert (reached["0.001"], reached["0.005"], reached["0.25"], reached["0.5"]) == (2, 3, 3, 4)
    assert abs(lag.seconds.total - 0.304) < 1e-9
