from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from tests.services.discovery.kit import FakeClock, FakeResolver

from nexus.http.resolve import Address, SystemResolver
from nexus.services.discovery import lookups
from nexus.services.discovery.lookups import MAX_NAMES, HostResolver, Lookups
from nexus.tasks import TaskOwner


async def test_a_name_is_asked_for_once_a_minute_and_says_when_it_changed() -> None:
    clock, resolver, tasks = FakeClock(), FakeResolver(), TaskOwner("t")
    names = Lookups(resolver, clock, tasks)
    resolver.names["box"] = ["10.0.0.2", "10.0.0.1", "10.0.0.2"]
    assert await names.refresh(["box", "nobody"]) == {"box"}
    assert names.known("box") == ("10.0.0.1", "10.0.0.2")
    assert names.known("nobody") == ()
    assert await names.refresh(["box", "nobody"]) == set()
    assert sorted(resolver.asked) == ["box", "nobody"]
    await clock.advance(61)
    resolver.names["box"].reverse()
    assert await names.refresh(["box"]) == set()
    await clock.advance(61)
    resolver.names["box"] = ["10.0.0.3"]
    assert await names.refresh(["box"]) == {"box"}


async def test_a_name_that_fails_keeps_its_last_addresses() -> None:
    clock, resolver, tasks = FakeClock(), FakeResolver(), TaskOwner("t")
    names = Lookups(resolver, clock, tasks)
    resolver.names["box"] = ["10.0.0.1"]
    await names.refresh(["box"])
    del resolver.names["box"]
    await clock.advance(61)
    assert await names.refresh(["box"]) == set()
    assert names.known("box") == ("10.0.0.1",)


async def test_a_dead_name_server_delays_for_a_bounded_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_SECONDS", 0.05)
    answer = asyncio.Event()

    class Slow(FakeResolver):
        async def resolve(self, host: str, port: int) -> Sequence[Address]:
            if host == "slow":
                await answer.wait()
            return await super().resolve(host, port)

    clock, resolver, tasks = FakeClock(), Slow(), TaskOwner("t")
    resolver.names = {"box": ["10.0.0.1"], "slow": ["10.0.0.9"]}
    names = Lookups(resolver, clock, tasks)
    assert await names.refresh(["slow", "box"]) == {"box"}
    answer.set()
    await clock.advance(61)
    assert names.known("slow") == ("10.0.0.9",)
    await tasks.close()


async def test_what_is_remembered_is_bounded() -> None:
    clock, resolver, tasks = FakeClock(), FakeResolver(), TaskOwner("t")
    names = Lookups(resolver, clock, tasks)
    hosts = [f"h{number}" for number in range(MAX_NAMES + 50)]
    resolver.names = {host: ["10.0.0.1"] for host in hosts}
    await names.refresh(hosts)
    assert names.known(hosts[0]) == ()
    assert len(names._known) == MAX_NAMES


async def test_all_ports_of_a_host_are_one_look_up() -> None:
    tasks, resolver = TaskOwner("t"), FakeResolver()
    resolver.names["box"] = ["10.0.0.1"]
    once = HostResolver(resolver)
    assert await once.resolve("box", 8000) == [Address(socket.AF_INET, ("10.0.0.1", 8000))]
    system = HostResolver(SystemResolver(tasks))
    (found,) = await system.resolve("fe80::1%1", 8000)
    assert found.target == ("fe80::1", 8000, 0, 1)
    await tasks.close()
