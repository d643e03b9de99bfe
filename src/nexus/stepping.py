"""Coroutines without tasks: stepped by whoever ends what they wait for.

Law held here: what is many, such as requests, needs no task each; what must be awaited with
asyncio's own tools is an errand, a task with an owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar

from nexus.tasks import TaskOwner

T = TypeVar("T")


class Wait:
    """What a stepped coroutine awaits: something that a callback ends, once.

    Attributes:
        ended: it is over; awaiting it goes straight on.
        waiter: who waits for it.
    """

    __slots__ = ("ended", "waiter")

    def __init__(self) -> None:
        self.ended = False
        self.waiter: Stepped | None = None

    def __await__(self) -> Generator[Wait, None, None]:
        return iter(() if self.ended else (self,))  # type: ignore[return-value]  # any iterator does (PEP 492)

    def end(self) -> None:
        """Be over, and step who waits."""
        self.ended = True
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.step()


class _Finished(Wait):
    """A wait that does not end."""

    __slots__ = ()

    def end(self) -> None:
        """Refuse to.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("what has finished does not go on")


FINISHED: Final = _Finished()
"""Awaited last, and for good, by the outermost coroutine of a :class:`Stepped`, and by no other.

To return is to raise ``StopIteration``; through compiled code that costs as much as a decision.
"""


class Stepped:
    """Runs a coroutine without a task: whoever ends its wait steps it on, within that very call.

    Starting a task, waking it through the loop and forgetting it cost a request as much as
    parsing it. The coroutine may await a :class:`Wait` and what is made of them, such as
    :func:`errand`, and nothing else; it lets nothing be raised.
    """

    __slots__ = ("_coroutine", "_cut", "_wait")

    def __init__(self, coroutine: Coroutine[Wait, None, None]) -> None:
        self._coroutine: Coroutine[Wait, None, None] | None = coroutine
        self._wait: Wait | None = None
        self._cut = False

    def step(self) -> None:
        """Go on to the next wait, or to the end."""
        self._wait = None
        coroutine = self._coroutine
        if coroutine is None:
            return
        try:
            self._wait_for(coroutine, coroutine.send(None))
        except StopIteration:
            return

    def cancel(self) -> None:
        """Raise ``CancelledError`` where it waits, at once, or where it waits next if it runs just now."""
        wait = self._wait
        if wait is None:
            self._cut = True
            return
        self._wait = wait.waiter = None
        self._cut = True
        coroutine = self._coroutine
        if coroutine is None:
            return
        try:
            self._wait_for(coroutine, wait)
        except StopIteration:
            return

    def _wait_for(self, coroutine: Coroutine[Wait, None, None], wait: Wait) -> None:
        """Wait, unless it was cut; raises ``StopIteration`` at its end."""
        # Once more when it is cut again meanwhile.
        while self._cut and wait is not FINISHED:
            self._cut = False
            wait = coroutine.throw(asyncio.CancelledError())
        if wait is FINISHED:
            # Else the two would keep each other.
            self._coroutine = None
            return
        self._wait = wait
        wait.waiter = self


async def errand(owner: TaskOwner, work: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
    """Have a task do what needs asyncio's own tools while a stepped coroutine waits for it.

    Args:
        owner: of the task.
        work: makes the coroutine.
        name: the task's.

    Returns:
        What the work returns; between its end and the waiting coroutine nothing else runs, so
        what it made is never left without an owner.

    Raises:
        Whatever the work raises.
    """
    done: _Errand[T] = _Errand()
    task = owner.spawn(done.run(work), name)
    task.add_done_callback(done.never_begun)
    try:
        await done
    except BaseException:
        task.cancel()
        raise
    if done.error is not None:
        raise done.error
    return done.result


class _Errand(Wait, Generic[T]):
    """The end of an errand."""

    __slots__ = ("error", "result")

    result: T

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Do the work and wake who waits, with its error if it has one."""
        try:
            self.result = await work()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # raised again in the one who waits
            self.error = error
        self.end()

    def never_begun(self, task: asyncio.Task[None]) -> None:  # noqa: ARG002  # the form of a done callback
        """Wake who waits for a task that was cancelled before its first step."""
        if not self.ended:
            self.error = asyncio.CancelledError()
            self.end()


async def run_stepped(coroutine: Coroutine[Wait, None, None]) -> None:
    """Let a task await a stepped coroutine; cancelling it cancels the coroutine at once.

    Raises:
        Whatever the coroutine raises.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def report() -> None:
        try:
            await coroutine
        except asyncio.CancelledError:
            ended.cancel()
        except Exception as error:  # noqa: BLE001  # raised again in the one who awaits
            if not ended.done():
                ended.set_exception(error)
        else:
            if not ended.done():
                ended.set_result(None)

    stepped = Stepped(report())
    stepped.step()
    try:
        await ended
    except asyncio.CancelledError:
        stepped.cancel()
        raise
