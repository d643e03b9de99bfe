from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from nexus.tasks import DeadlineWatch, SystemClock, TaskOwner


class ManualClock(SystemClock):
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time


class Item:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expirations = 0

    def expired(self, now: float) -> None:
        self.expirations += 1
        self.deadline = now + 10


async def test_an_owner_names_keeps_and_ends_its_tasks() -> None:
    owner = TaskOwner("owner")
    started = asyncio.Event()

    async def forever() -> None:
        started.set()
        await asyncio.Event().wait()

    task = owner.spawn(forever(), "forever")
    await started.wait()
    assert task.get_name() == "owner:forever"
    assert len(owner) == 1
    assert await owner.close() == 1
    assert task.cancelled()
    assert len(owner) == 0


async def test_a_failure_is_reported_with_the_name(caplog: pytest.LogCaptureFixture) -> None:
    owner = TaskOwner("owner")

    async def fail() -> None:
        raise ValueError("broken")

    with caplog.at_level(logging.ERROR):
        task = owner.spawn(fail(), "fail")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert "owner:fail" in caplog.text
    assert "broken" in caplog.text
    assert len(owner) == 0


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_cancelled_task_is_forgotten_whether_it_ever_ran_or_not(steps: int) -> None:
    owner = TaskOwner("owner")
    for ended_by_owner in (False, True):
        task = owner.spawn(asyncio.Event().wait(), "work")
        for _ in range(steps):
            await asyncio.sleep(0)
        if ended_by_owner:
            await owner.close()
        else:
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(0)
        assert task.cancelled()
        assert len(owner) == 0


async def test_deadlines_are_honoured_late_never_early() -> None:
    clock = ManualClock()
    watch = DeadlineWatch(clock)
    item = Item(101.0)
    watch.add(item)
    watch.sweep()
    assert item.expirations == 0
    clock.time = 101.0
    watch.sweep()
    assert item.expirations == 1
    watch.sweep()
    assert item.expirations == 1
    watch.discard(item)
    clock.time = 1000.0
    watch.sweep()
    assert item.expirations == 1
    watch.close()


async def test_the_watch_ticks_by_itself() -> None:
    watch = DeadlineWatch(SystemClock())
    expired = asyncio.Event()

    class Due:
        deadline = 0.0

        def expired(self, now: float) -> None:
            self.deadline = now + 1000
            expired.set()

    watch.add(Due())
    async with asyncio.timeout(10):
        await expired.wait()
    watch.close()
    assert len(watch) == 0


class Due:
    """Something whose deadline has passed."""

    def __init__(self, watch: DeadlineWatch, act: Callable[[], None]) -> None:
        self.deadline = 0.0
        self.times = 0
        self._act = act
        watch.add(self)

    def expired(self, now: float) -> None:
        del now
        self.times += 1
        self._act()


def twins(watch: DeadlineWatch, change: Callable[[Due], None]) -> list[Due]:
    """Two that are due at once; whichever comes first does ``change`` to the other."""
    both: list[Due] = []

    def act() -> None:
        for other in both:
            if other.times == 0:
                change(other)

    both += [Due(watch, act), Due(watch, act)]
    return both


async def test_a_deadline_that_is_moved_within_the_sweep_has_not_passed() -> None:
    watch = DeadlineWatch(SystemClock())
    both = twins(watch, lambda other: setattr(other, "deadline", float("inf")))
    watch.sweep()
    assert sorted(item.times for item in both) == [0, 1]
    watch.close()


async def test_what_leaves_within_the_sweep_does_not_expire() -> None:
    watch = DeadlineWatch(SystemClock())
    both = twins(watch, watch.discard)
    watch.sweep()
    assert sorted(item.times for item in both) == [0, 1]
    watch.close()


async def test_a_defect_in_one_expiry_keeps_no_other_deadline(caplog: pytest.LogCaptureFixture) -> None:
    watch = DeadlineWatch(SystemClock())

    def stumble() -> None:
        raise KeyError("a defect")

    both = [Due(watch, stumble), Due(watch, stumble)]
    watch.sweep()
    assert [item.times for item in both] == [1, 1]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert all(record.exc_info for record in caplog.records)
    watch.close()
