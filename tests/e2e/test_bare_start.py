"""``nexus serve`` on a computer where every known server runs on its usual port, and nothing was configured.

Each test has a network namespace of its own, where those ports are free.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.load import Load
from tests.support.namespaces import in_namespace
from tests.support.process import NexusProcess, bare_nexus, until

from nexus.testing import Exchange, FakeBackend, FakeFleet, Fault, Pause, Stall, Step

pytestmark = pytest.mark.timeout(120)

PROMISED_SECONDS = 3.0
STARTS = 4

DEADLINE_SECONDS = 20.0
"""Well above the three seconds that are promised: this machine may be busy with other tests."""

CALM, RUSH = 30, 250
"""Arrivals a second. In a rush, every server that has a model gets its share."""

THOUGHT_SECONDS = 0.1
PACE_SECONDS = 0.01


@dataclass(frozen=True)
class Usual:
    """A server on its usual port. Each of its models is on another server, too."""

    port: int
    kind: str
    models: tuple[str, ...]
    host: str = "127.0.0.1"

    @property
    def names(self) -> tuple[str, ...]:
        """The clients' names for its models."""
        return tuple(sorted(model.removesuffix(":latest") for model in self.models))


SERVERS = (
    Usual(11434, "ollama", ("common:latest", "alpha:8b")),
    Usual(1234, "lmstudio", ("alpha:8b", "beta")),
    Usual(9931, "llamacpp", ("gamma",)),
    Usual(8000, "vllm", ("gamma", "delta")),
    Usual(30000, "sglang", ("delta",)),
    Usual(52415, "exo", ("common", "epsilon")),
    Usual(3000, "tgi", ("epsilon",), "::1"),
    Usual(1337, "generic", ("common", "zeta")),
    Usual(5001, "generic", ("zeta",)),
    Usual(4891, "generic", ("beta", "zeta")),
)
TURNS = (Usual(8080, "localai", ("beta",)), Usual(8080, "llamacpp", ("beta",)))
"""These share a port, so at most one of them runs."""


@dataclass(frozen=True)
class Think(Fault):
    """Answer after a while, a stream event by event."""

    def steps(self, exchange: Exchange) -> Iterator[Step]:
        yield Pause(seconds=THOUGHT_SECONDS)
        yield from exchange.paced(PACE_SECONDS)


async def begin(fleet: FakeFleet, usual: Usual) -> FakeBackend:
    return await fleet.add(
        usual.kind, models=usual.models, host=usual.host, port=usual.port, policy=lambda _: Think()
    )


def shown(nexus: NexusProcess) -> set[tuple[int, str, tuple[str, ...]]]:
    """Port, type and models of every backend that is in rotation."""
    rows = nexus.get("/health?verbose=1")[1]["backends"]["items"]
    return {(port_of(row), row["type"], models_of(row)) for row in rows if row["status"] == "healthy"}


def listed(nexus: NexusProcess) -> set[str]:
    return {row["id"] for row in nexus.get("/v1/models")[1]["data"] if row["available"]}


def port_of(row: dict[str, Any]) -> int:
    return int(row["url"].split("://")[1].split("/")[0].rpartition(":")[2])


def models_of(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(model["id"] for model in row["models"]))


def expected(*servers: Usual) -> set[tuple[int, str, tuple[str, ...]]]:
    return {(usual.port, usual.kind, usual.names) for usual in servers}


async def seconds_until_all_are_found(tmp_path: Path, fleet: FakeFleet, turn: Usual) -> float:
    began = time.monotonic()
    with bare_nexus(tmp_path) as nexus:
        await asyncio.to_thread(nexus.wait_announced)
        announced = time.monotonic() - began
        await until(lambda: shown(nexus) == expected(*SERVERS, turn), DEADLINE_SECONDS)
        found = time.monotonic() - began
        models = {name for usual in SERVERS for name in usual.names}
        assert await asyncio.to_thread(listed, nexus) == models
        await until(lambda: sum(line.startswith("Found ") for line in nexus.said) == len(SERVERS) + 1)
        assert "Traceback" not in nexus.errors
    print(f"listening after {announced:.2f} s, {len(fleet.backends)} servers found after {found:.2f} s")  # noqa: T201
    return found


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.kind)
@in_namespace
async def test_every_server_of_this_computer_is_found(tmp_path: Path, turn: Usual) -> None:
    async with FakeFleet() as fleet:
        for usual in (*SERVERS, turn):
            await begin(fleet, usual)
        # Other tests may hold up one start, but not each.
        for _ in range(STARTS):
            if await seconds_until_all_are_found(tmp_path, fleet, turn) <= PROMISED_SECONDS:
                break
        else:
            pytest.fail(f"no start of {STARTS} found everything within {PROMISED_SECONDS} s")
        assert [backend.side_effects for backend in fleet.backends if backend.side_effects] == []


def in_service(nexus: NexusProcess, victim: FakeBackend) -> bool:
    """Whether Nexus would send a request to it now, and knows what it is."""
    rows = nexus.get("/health?verbose=1")[1]["backends"]["items"]
    (row,) = (row for row in rows if port_of(row) == victim.port)
    busy = any(model["busy_seconds"] or model["resting_seconds"] for model in row["models"])
    return (row["status"], row["type"]) == ("healthy", victim.kind) and not busy


def out_of_rotation(nexus: NexusProcess, victim: FakeBackend) -> bool:
    rows = nexus.get("/health?verbose=1")[1]["backends"]["items"]
    return any(port_of(row) == victim.port and row["status"] == "unhealthy" for row in rows)


class Chats:
    """Chats with every model, most of them with those of one server."""

    def __init__(self) -> None:
        self.victim: tuple[str, ...] = ()

    def __call__(self, rng: random.Random) -> dict[str, Any]:
        models = sorted({name for usual in SERVERS for name in usual.names})
        preferred = self.victim if self.victim and rng.random() < 0.8 else models
        return {"model": rng.choice(preferred), "messages": [{"role": "user", "content": "Hi"}]}


async def kill_while_it_works(load: Load, victim: FakeBackend) -> None:
    """Kill a server that holds a request whose client has seen no byte yet."""
    load.arrivals_a_second = RUSH
    stalled = victim.served["Stall"]
    victim.always(Stall())
    await victim.wait_until(lambda: victim.served["Stall"] > stalled, "a request that it holds")
    await victim.kill()
    load.arrivals_a_second = CALM
    victim.always(None)
    await until(partial(out_of_rotation, load.nexus, victim))


@in_namespace
async def test_each_server_is_killed_and_revived_under_load(tmp_path: Path) -> None:
    chats = Chats()
    figures: list[str] = []
    async with FakeFleet() as fleet:
        second = await begin(fleet, TURNS[1])
        await second.stop()
        usual = [await begin(fleet, server) for server in SERVERS]
        first = await begin(fleet, TURNS[0])
        revived = {**{backend: backend for backend in usual}, first: second, second: first}
        with bare_nexus(tmp_path) as nexus:
            await asyncio.to_thread(nexus.wait_announced)
            await until(lambda: shown(nexus) == expected(*SERVERS, TURNS[0]))
            load = Load(nexus, chats, CALM)
            async with load.arriving():
                for victim, successor in revived.items():
                    before, began = load.sent_again, time.monotonic()
                    chats.victim = tuple(model.id for model in victim.models)
                    await kill_while_it_works(load, victim)
                    await successor.start()
                    await until(partial(in_service, nexus, successor))
                    seconds = time.monotonic() - began
                    # Who met the victim while it was down has others left, and those must not die yet.
                    await load.settled()
                    again = load.sent_again - before
                    figures.append(f"{victim.name} {again} in {seconds:.1f} s")
                    assert again > 0, victim.name
            print(f"{len(load.replies)} chats, {load.sent_again} sent again, {load.cut} streams cut")  # noqa: T201
            print("sent again at each kill:", ", ".join(figures))  # noqa: T201
            assert not load.lost
            assert "Traceback" not in nexus.errors
            rows = nexus.get("/health?verbose=1")[1]["backends"]["items"]
            assert [row["in_flight"] for row in rows] == [0] * len(rows)
