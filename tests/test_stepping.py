from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nexus.stepping import Stepped, Wait, errand, run_stepped
from nexus.tasks import TaskOwner


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    tasks = TaskOwner("test")
    yield tasks
    await tasks.close()
    assert len(tasks) == 0


async def test_whoever_ends_the_wait_steps_the_coroutine_within_that_call() -> None:
    first, second, seen = Wait(), Wait(), []

    async def work() -> None:
        seen.append("begun")
        await first
        seen.append("first")
        await second
        seen.append("second")

    Stepped(work()).step()
    assert seen == ["begun"]
    first.end()
    assert seen == ["begun", "first"]
    second.end()
    assert seen == ["begun", "first", "second"]


async def test_a_wait_that_is_over_is_not_waited_for() -> None:
    over, seen = Wait(), []
    over.end()

    async def work() -> None:
        await over
        seen.append("through")

    Stepped(work()).step()
    assert seen == ["through"]


async def test_a_wait_ends_once() -> None:
    wait, later, seen = Wait(), Wait(), []

    async def work() -> None:
        await wait
        seen.append("once")
        await later

    Stepped(work()).step()
    wait.end()
    wait.end()
    assert seen == ["once"]
    later.end()


async def test_cancelling_raises_where_it_waits_at_once() -> None:
    wait, seen = Wait(), []

    async def work() -> None:
        try:
            await wait
        except asyncio.CancelledError:
            seen.append("cut")

    stepped = Stepped(work())
    stepped.step()
    stepped.cancel()
    assert seen == ["cut"]
    wait.end()
    stepped.cancel()
    assert seen == ["cut"]


async def test_a_coroutine_that_cleans_up_may_wait_again() -> None:
    wait, cleaned, seen = Wait(), Wait(), []

    async def work() -> None:
        try:
            await wait
        except asyncio.CancelledError:
            await cleaned
            seen.append("clean")

    stepped = Stepped(work())
    stepped.step()
    stepped.cancel()
    assert seen == []
    cleaned.end()
    assert seen == ["clean"]


async def test_cancelling_from_within_takes_effect_at_the_next_wait() -> None:
    wait = Wait()
    seen: list[str] = []

    async def work() -> None:
        stepped.cancel()
        seen.append("still running")
        try:
            await wait
        except asyncio.CancelledError:
            seen.append("cut")

    stepped = Stepped(work())
    stepped.step()
    assert seen == ["still running", "cut"]


async def test_cancelling_again_while_it_cleans_up_ends_that_wait_too() -> None:
    wait, cleaned = Wait(), Wait()
    seen: list[str] = []

    async def work() -> None:
        try:
            await wait
        except asyncio.CancelledError:
            stepped.cancel()
            try:
                await cleaned
            except asyncio.CancelledError:
                seen.append("cut again")

    stepped = Stepped(work())
    stepped.step()
    stepped.cancel()
    assert seen == ["cut again"]


async def test_an_errand_brings_back_what_a_task_made(owner: TaskOwner) -> None:
    async def slow() -> int:
        await asyncio.sleep(0)
        return 7

    made: list[int] = []

    async def work() -> None:
        made.append(await errand(owner, slow, "slow"))

    await run_stepped(work())
    assert made == [7]


async def test_an_errand_raises_what_the_task_raised(owner: TaskOwner) -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await run_stepped(errand(owner, failing, "failing"))


async def test_cancelling_ends_the_errands_task(owner: TaskOwner) -> None:
    begun, cut = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    waiting = asyncio.ensure_future(run_stepped(errand(owner, endless, "endless")))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(cut.wait(), 10)


async def test_an_errand_that_is_cancelled_before_its_first_step_leaves_nothing(owner: TaskOwner) -> None:
    async def never() -> None:
        raise AssertionError("it was cancelled before")

    ended = []

    async def work() -> None:
        try:
            await errand(owner, never, "never")
        except asyncio.CancelledError:
            ended.append(True)

    stepped = Stepped(work())
    stepped.step()
    stepped.cancel()
    assert ended == [True]


@pytest.mark.parametrize("steps", [1, 2])
async def test_an_errand_whose_owner_closes_is_cancelled(owner: TaskOwner, steps: int) -> None:
    async def endless() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.ensure_future(run_stepped(errand(owner, endless, "endless")))
    for _ in range(steps):
        await asyncio.sleep(0)
    await owner.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
