from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.services.discovery.sockets import PATIENCE, nothing_left
from tests.services.discovery.watching import SteppedClock

from nexus.services.discovery.address_watch import Listeners
from nexus.services.discovery.listen_watch import CHECK_SECONDS, MOST_OF_THE_TIME, ListenWatch

LONGEST = 60.0
OLLAMA, LM_STUDIO = 11434, 1234


class Computer(SteppedClock):
    """Who listens, as a script says, and how long it takes to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.listening: dict[int, frozenset[str]] | None = {}
        self.takes = 0.0
        self.time = 0.0
        self.changes: list[set[int]] = []

    def now(self) -> float:
        return self.time

    def listeners(self) -> Listeners | None:
        self.time += self.takes
        return None if self.listening is None else dict(self.listening)

    def put(self, **ports: str) -> None:
        self.listening = {int(name[1:]): frozenset(numbers.split()) for name, numbers in ports.items()}


class Unstopped(Computer):
    """Time passes by itself, as far as the first pause ends."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self._first = True

    async def sleep(self, seconds: float) -> None:
        self.pauses.put_nowait(seconds)
        if not self._first:
            await asyncio.Event().wait()
        self._first = False


@asynccontextmanager
async def watched(computer: Computer, *ports: int) -> AsyncIterator[Computer]:
    with nothing_left():
        watch = ListenWatch(
            ports, computer.listeners, computer, LONGEST, lambda found: computer.changes.append(set(found))
        )
        watch.start()
        try:
            yield computer
        finally:
            await asyncio.wait_for(watch.close(), PATIENCE)


async def test_a_port_that_opens_is_told_once_and_one_that_closes_too() -> None:
    async with watched(Computer(), OLLAMA, LM_STUDIO) as computer:
        await computer.check()
        computer.put(p11434="1")
        await computer.check()
        await computer.check()
        computer.put(p11434="1", p1234="2")
        await computer.check()
        computer.put()
        await computer.check()
        await computer.check()
        assert computer.changes == [{OLLAMA}, {LM_STUDIO}, {OLLAMA, LM_STUDIO}]
        assert set(computer.slept) == {CHECK_SECONDS}


async def test_what_listens_from_the_start_and_other_ports_are_no_change() -> None:
    computer = Computer()
    computer.put(p11434="1", p9="2")
    async with watched(computer, OLLAMA):
        computer.put(p11434="1", p10="3")
        await computer.check()
        assert computer.changes == []


async def test_a_server_that_started_anew_between_two_checks_is_a_change() -> None:
    computer = Computer()
    computer.put(p11434="1")
    async with watched(computer, OLLAMA):
        computer.put(p11434="2")
        await computer.check()
        assert computer.changes == [{OLLAMA}]


async def test_where_nobody_tells_nothing_runs() -> None:
    computer = Computer()
    computer.listening = None
    async with watched(computer, OLLAMA):
        await asyncio.sleep(0)
        assert computer.slept == []
    async with watched(Computer()) as no_ports:
        await asyncio.sleep(0)
        assert no_ports.slept == []


async def test_a_check_that_fails_is_no_change_and_the_next_one_compares_with_the_last_that_did_not() -> None:
    computer = Computer()
    computer.put(p11434="1")
    async with watched(computer, OLLAMA):
        computer.listening = None
        await computer.check()
        computer.put(p11434="1")
        await computer.check()
        assert computer.changes == []
        computer.put()
        await computer.check()
        assert computer.changes == [{OLLAMA}]


@pytest.mark.parametrize(
    ("takes", "pause"),
    [(0.0, CHECK_SECONDS), (0.001, CHECK_SECONDS), (0.005, 0.005 / MOST_OF_THE_TIME), (9.0, LONGEST)],
)
async def test_a_check_that_takes_long_is_made_less_often(takes: float, pause: float) -> None:
    computer = Unstopped()
    async with watched(computer, OLLAMA):
        computer.takes = takes
        async with asyncio.timeout(PATIENCE):
            assert await computer.pauses.get() == CHECK_SECONDS
            assert await computer.pauses.get() == pytest.approx(pause)
