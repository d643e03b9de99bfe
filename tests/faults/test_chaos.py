"""20,000 requests, every fault at random, clients that leave at random: nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from tests.faults.chaos_client import ChaosClient, Got
from tests.faults.rows import KINDS
from tests.faults.verdict import carried, verdict_of
from tests.support.gateway import RunningGateway, backend_toml, serve

from nexus import testing
from nexus.testing import FakeBackend, FakeFleet, FakeModel, Fault, RecordedRequest, Stage
from nexus.testing.faults.base import Step

REQUESTS: Final = 20_000
AT_LEAST: Final = 200
AT_ONCE: Final = 64
FAULTY: Final = 0.5
LEAVING: Final = 0.12
SETTINGS: Final = """
[timeouts]
connect_seconds = 2
first_byte_seconds = 0.3
idle_seconds = 0.3
[upstream]
idle_seconds = 0.5
[health_check]
enabled = false
timeout_seconds = 0.5
recovery_threshold = 1
[routing]
strategy = "round_robin"
[logging]
level = "info"
"""
MODELS: Final = (FakeModel("m"), FakeModel("big", reply="x" * 100_000))

Make = Callable[[random.Random], Fault]
STAGES: Final = (Stage.BEFORE_HEAD, Stage.HEAD, Stage.AFTER_HEAD, Stage.BODY)
# 405 and 501 would teach each backend in turn that it has no chats, and leave none.
STATUSES: Final = (101, 204, 301, 400, 402, 403, 404, 408, 418, 422, 425, 500, 502, 504, 508, 529, 599, 999)


def _soon(seconds: float) -> asyncio.Event:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, event.set)
    return event


MAKERS: Final[dict[str, Make]] = {
    "BadChunk": lambda rng: testing.BadChunk(rng.randrange(4)),
    "BothLengths": lambda _: testing.BothLengths(),
    "Busy": lambda rng: testing.Busy(retry_after="0", code=rng.choice((429, 503, 529))),
    "CloseSilently": lambda _: testing.CloseSilently(),
    "Comments": lambda rng: testing.Comments(rng.randrange(1, 4)),
    "CompleteThenClose": lambda _: testing.CompleteThenClose(),
    "CompleteThenReset": lambda _: testing.CompleteThenReset(),
    "ContextOverflow": lambda _: testing.ContextOverflow(),
    "Credentials": lambda rng: testing.Credentials(rng.choice((401, 403))),
    "CutStream": lambda rng: testing.CutStream(rng.randrange(5)),
    "Death": lambda rng: testing.Death(rng.randrange(4)),
    "Delay": lambda rng: testing.Delay(rng.random() / 50),
    "Drip": lambda rng: testing.Drip(rng.choice((97, 997)), head=rng.random() < 0.5),
    "EmptyBody": lambda _: testing.EmptyBody(),
    "EndWithoutDone": lambda rng: testing.EndWithoutDone(rng.randrange(4)),
    "ErrorBody200": lambda _: testing.ErrorBody200(),
    "ErrorEventFirst": lambda _: testing.ErrorEventFirst(),
    "ErrorEventMid": lambda rng: testing.ErrorEventMid(rng.randrange(1, 4)),
    "Garbage": lambda rng: testing.Garbage(rng.randbytes(rng.randrange(1, 200))),
    "Gzip": lambda _: testing.Gzip(),
    "Headers": lambda _: testing.Headers((("Set-Cookie", "a=b"), ("X-Nexus-Backend", "liar"))),
    "Http10": lambda _: testing.Http10(),
    "Interim": lambda rng: testing.Interim((rng.choice((100, 102, 103)),)),
    "Loading": lambda _: testing.Loading(retry_after="0"),
    "MissingCapability": lambda rng: testing.MissingCapability(rng.choice(("vision", "tools"))),
    "OverLong": lambda _: testing.OverLong(),
    "Quota": lambda rng: testing.Quota(rng.choice((402, 429))),
    "Redirect": lambda rng: testing.Redirect(code=rng.choice((301, 302, 303, 307, 308))),
    "Refuse": lambda rng: testing.Refuse(_soon(rng.random() / 20)),
    "Reset": lambda rng: testing.Reset(rng.choice(STAGES), at_byte=rng.randrange(700)),
    "ServerError": lambda _: testing.ServerError(),
    "Short": lambda rng: testing.Short(rng.randrange(1, 20)),
    "Stall": lambda rng: testing.Stall(rng.choice(STAGES), at_event=rng.randrange(3)),
    "Status": lambda rng: testing.Status(rng.choice(STATUSES)),
    "UnknownModel": lambda _: testing.UnknownModel(),
}


def test_every_fault_of_the_fleet_takes_part() -> None:
    classes = {getattr(testing, name) for name in testing.__all__}
    faults = {cls.__name__ for cls in classes if isinstance(cls, type) and issubclass(cls, Fault)}
    assert set(MAKERS) == faults - {"Fault"}


class Deck:
    """Deals every kind of fault equally often, in a random order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._cards: list[str] = []

    def deal(self, request: RecordedRequest) -> Fault | None:
        if self._rng.random() > FAULTY:
            return None
        if not self._cards:
            self._cards = [name for name in MAKERS for _ in range(4)]
            self._rng.shuffle(self._cards)
        for at in range(len(self._cards) - 1, -1, -1):
            if request.stream or not getattr(testing, self._cards[at]).streams_only:
                return MAKERS[self._cards.pop(at)](self._rng)
        return None


class Run:
    """One run of chaos: what was asked, what the fleet sent, what came back."""

    def __init__(self, seed: int, gateway: RunningGateway, backends: list[FakeBackend]) -> None:
        self.rng = random.Random(seed)
        self.gateway = gateway
        self.backends = backends
        self.deck = Deck(random.Random(seed + 1))
        self.sent: dict[str, list[list[bytes]]] = defaultdict(list)
        self.asked: set[str] = set()
        self.answered: set[str] = set()
        self.verdicts: Counter[str] = Counter()
        self.next = 0
        for backend in backends:
            backend.policy = self.deck.deal
            self._record(backend)

    def _record(self, backend: FakeBackend) -> None:
        begin = backend.begin

        def recorded(request: RecordedRequest, *, close: bool) -> Iterator[Step]:
            steps = begin(request, close=close)
            if not request.surface:
                return steps
            name = request.header("x-request-id") or ""
            self.asked.add(name)
            pieces: list[bytes] = []
            self.sent[name].append(pieces)
            return _kept(steps, pieces)

        backend.begin = recorded  # type: ignore[method-assign]  # every byte that leaves is noted

    async def work(self) -> None:
        client = ChaosClient(self.gateway.nexus.port)
        while self.next < REQUESTS:
            self.next += 1
            name = f"r{self.next}"
            if self.next % 100 == 0:
                self.rng.choice(self.backends).next(testing.Stall(Stage.ACCEPT, release=_soon(0.5)))
            stream = self.rng.random() < 0.5
            got = await self._ask(client, _request(name, self.rng, stream=stream))
            self._judge(name, got)
            self.sent.pop(name, None)
        client.close()

    async def _ask(self, client: ChaosClient, request: bytes) -> Got:
        rng = self.rng
        if rng.random() >= LEAVING:
            return await client.ask(request)
        how = rng.randrange(5)
        if how == 0:
            return await client.ask(request[: rng.randrange(len(request))], leave=ChaosClient.depart)
        if how == 1:
            return await client.ask(request, leave=ChaosClient.depart)
        if how == 2:
            return await client.ask(request, leave_at=1)
        if how == 3:
            return await client.ask(request, leave_at=rng.randrange(1, 3000))
        loop = asyncio.get_running_loop()
        return await client.ask(
            request, leave=lambda client: void(loop.call_later(rng.random() / 20, client.depart))
        )

    def _judge(self, name: str, got: Got) -> None:
        if got.left:
            self.verdicts["left"] += 1
            return
        self.answered.add(name)
        bodies = [carried(b"".join(pieces)) for pieces in self.sent.get(name, ())]
        verdict = verdict_of(got, bodies)
        sent = [(each.body[-300:], each.whole) for each in bodies]
        assert verdict, f"{name}: {got.status} {got.complete} {got.body[-600:]!r} of {sent!r}"
        self.verdicts[verdict] += 1


def void(_: object) -> None:
    """Take a value and give none."""


def _kept(steps: Iterator[Step], pieces: list[bytes]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            pieces.append(step)
        yield step


def _request(name: str, rng: random.Random, *, stream: bool) -> bytes:
    body: dict[str, Any] = {
        "model": "big" if rng.random() < 0.03 else "m",
        "messages": [{"role": "user", "content": "hello " * rng.randrange(1, 40)}],
        "stream": stream,
    }
    data = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {name}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _sockets() -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count


async def _quiet(gateway: RunningGateway, fleet: FakeFleet) -> tuple[int, set[str]]:
    """Wait for rest; return how many sockets and which tasks there are then."""
    await gateway.until(lambda: gateway.at_rest() and not gateway.nexus._server.connections, 20)
    await gateway.until(lambda: not gateway.nexus.client.open_sockets, 20)
    await gateway.until(lambda: not fleet.in_flight and not fleet.open_sockets, 20)
    await asyncio.sleep(0)
    gc.collect()
    return _sockets(), {task.get_name() for task in asyncio.all_tasks()}


async def _chaos(seed: int, folder: Path) -> None:
    async with FakeFleet() as fleet:
        backends = [
            await fleet.add(kind, models=MODELS, name=f"{kind}-{at}") for at in range(2) for kind in KINDS
        ]
        async with serve(SETTINGS + backend_toml(*backends), folder) as gateway:
            sockets, tasks = await _quiet(gateway, fleet)
            began = time.process_time()
            run = Run(seed, gateway, backends)
            await asyncio.gather(*(run.work() for _ in range(AT_ONCE)))
            spent = time.process_time() - began
            for backend in backends:
                backend.clear()
                await backend.start()
            _check_counts(run, fleet)
            print(f"seed {seed}: {spent:.1f} s of CPU; {dict(sorted(run.verdicts.items()))}")  # noqa: T201 - shown on failure
            await gateway.until(lambda: _all_healthy(gateway), 30)
            assert await _quiet(gateway, fleet) == (sockets, tasks)
            _check_outcomes(run)
            assert "Traceback" not in gateway.log.read_text()


def _all_healthy(gateway: RunningGateway) -> bool:
    return all(view.status == "healthy" for view in gateway.nexus.registry.views())


def _check_counts(run: Run, fleet: FakeFleet) -> None:
    served: Counter[str] = Counter()
    for backend in fleet.backends:
        served.update(backend.served)
    few = {name: served[name] for name in MAKERS if served[name] < AT_LEAST}
    assert not few, few
    assert sum(backend.departures for backend in fleet.backends) > AT_LEAST
    assert run.verdicts["left"] > AT_LEAST


def _check_outcomes(run: Run) -> None:
    outcomes = Counter(outcome.request_id for outcome in run.gateway.outcomes)
    assert max(outcomes.values()) == 1, "one outcome a request"
    assert run.answered <= outcomes.keys()
    assert run.asked <= outcomes.keys()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [20261123])
def test_chaos_leaves_nothing_behind(seed: int, tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_chaos(seed, tmp_path))
