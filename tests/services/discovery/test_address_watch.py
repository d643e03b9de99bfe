from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from tests.services.discovery.sockets import (
    PATIENCE,
    address,
    close_all,
    free_port,
    full,
    listener,
    nothing_left,
    pair,
    port_of,
)
from tests.services.discovery.watching import Bench, running

from nexus.domain import DiscoverySource
from nexus.http.resolve import Address, SystemResolver
from nexus.services.discovery.address_watch import (
    SILENT_LOOKS,
    AddressWatch,
    Pace,
    Target,
    _shown,
    is_private,
)
from nexus.services.discovery.sightings import Sighting
from nexus.tasks import TaskOwner

KEY = "a"


def target(*addresses: tuple[str, int], key: str = KEY, private: bool = False) -> Target:
    return Target(Sighting(key, DiscoverySource.PEER, "a test", addresses), private)


def watch(
    *targets: Target, connect: float | None = 5.0, resolve: float = 5.0, every: float = 60.0
) -> Callable[[Bench], AddressWatch]:
    return lambda bench: AddressWatch("test", targets, Pace(every, connect, resolve), bench.around())


async def test_what_listens_is_seen_once_and_what_closed_is_gone_once() -> None:
    server = listener()
    place = ("127.0.0.1", port_of(server))
    async with running(watch(target(place))) as bench:
        assert bench.record.places(KEY) == (place,)
        await bench.clock.look()
        assert len(bench.record.reports) == 1
        server.close()
        await bench.clock.look()
        await bench.clock.look()
        assert bench.record.reports[1:] == [KEY]
        assert set(bench.clock.slept) == {60.0}


async def test_a_server_that_starts_later_is_seen_and_one_that_comes_back_too() -> None:
    port = free_port()
    async with running(watch(target(("127.0.0.1", port)))) as bench:
        assert bench.record.reports == []
        for _ in range(3):
            with listener(port=port):
                await bench.clock.look()
                assert bench.record.places(KEY) == (("127.0.0.1", port),)
            await bench.clock.look()
            assert bench.record.now == {}


async def test_both_addresses_of_one_server_are_one_sighting() -> None:
    four, six = pair()
    port = port_of(four)
    both = (("127.0.0.1", port), ("::1", port))
    async with running(watch(target(*both))) as bench:
        assert bench.record.places(KEY) == both
        four.close()
        await bench.clock.look()
        assert bench.record.places(KEY) == (("::1", port),)
        with listener(port=port):
            await bench.clock.look()
            assert bench.record.places(KEY) == both
        assert len(bench.record.reports) == 3
    six.close()


async def test_a_server_that_is_silent_for_a_look_is_not_gone() -> None:
    server = listener()
    port = port_of(server)
    place = ("127.0.0.1", port)
    async with running(watch(target(place), connect=0.2)) as bench:
        assert bench.record.places(KEY) == (place,)
        server.close()
        with full(port=port):
            for _ in range(SILENT_LOOKS - 1):
                await bench.clock.look()
                assert bench.record.places(KEY) == (place,)
            await bench.clock.look()
            assert bench.record.reports[1:] == [KEY]


async def test_silence_is_forgotten_by_an_answer() -> None:
    port = free_port()
    place = ("127.0.0.1", port)
    async with running(watch(target(place), connect=0.2)) as bench:
        for _ in range(3):
            with listener(port=port):
                await bench.clock.look()
            with full(port=port):
                for _ in range(SILENT_LOOKS - 1):
                    await bench.clock.look()
        assert len(bench.record.reports) == 1


async def test_our_own_address_is_never_reported() -> None:
    with listener() as server:
        port = port_of(server)
        bench = Bench()
        bench.own = {("127.0.0.1", port)}
        bench.names.answer(nexus=["127.0.0.1"], both=["127.0.0.2", "127.0.0.1"])
        targets = [target((host, port), key=host) for host in ("127.0.0.1", "nexus", "both")]
        async with running(watch(*targets), bench):
            await bench.clock.look()
            assert bench.record.reports == []


async def test_a_server_that_became_us_is_gone() -> None:
    with listener() as server:
        place = ("127.0.0.1", port_of(server))
        async with running(watch(target(place))) as bench:
            bench.own = {place}
            await bench.clock.look()
            assert bench.record.reports[1:] == [KEY]


async def test_a_name_is_reported_as_a_name_and_resolved_each_time() -> None:
    with listener() as server:
        port = port_of(server)
        bench = Bench()
        bench.names.answer(box=["127.0.0.1"])
        async with running(watch(target(("box", port))), bench):
            assert bench.record.places(KEY) == (("box", port),)
            bench.names.answer(box=["::1", "127.0.0.1"])
            await bench.clock.look()
            assert len(bench.record.reports) == 1
            bench.names.answer(box=["::1"])
            await bench.clock.look()
            assert bench.record.reports[1:] == [KEY]
            assert bench.names.asked == ["box", "box", "box"]


async def test_a_name_server_that_fails_takes_nothing_away() -> None:
    with listener() as server:
        port = port_of(server)
        bench = Bench()
        async with running(watch(target(("box", port))), bench):
            assert bench.record.reports == []
            bench.names.answer(box=["127.0.0.1"])
            await bench.clock.look()
            assert len(bench.record.reports) == 1
            bench.names.answer(box=socket.gaierror(socket.EAI_AGAIN, "try again"))
            await bench.clock.look()
            await bench.clock.look()
            assert len(bench.record.reports) == 1


async def test_a_name_server_that_does_not_answer_delays_a_look_by_its_limit_and_is_asked_once() -> None:
    with listener() as server:
        port = port_of(server)
        bench = Bench()
        bench.names.names["slow"] = None
        targets = target(("127.0.0.1", port)), target(("slow", port), key="slow")
        async with running(watch(*targets, resolve=0.05), bench):
            assert list(bench.record.now) == [KEY]
            await bench.clock.look()
            await bench.clock.look()
            assert bench.names.asked.count("slow") == 1
            bench.names.answer(slow=["127.0.0.1"])
            await bench.clock.look()
            assert set(bench.record.now) == {KEY, "slow"}


async def test_names_that_nobody_can_have_are_not_seen() -> None:
    tasks = TaskOwner("names")
    bench = Bench()
    targets = [
        target((host, 80), key=host) for host in ("a" * 70, "nobody.invalid", "fe80::1%no-such-interface")
    ]

    def make(bench: Bench) -> AddressWatch:
        return AddressWatch("test", targets, Pace(60, 1, PATIENCE), bench.around(SystemResolver(tasks)))

    async with running(make, bench):
        assert bench.record.reports == []
    await tasks.close()


async def test_a_host_that_must_be_private_is_left_out_when_it_is_public() -> None:
    with listener() as server:
        port = port_of(server)
        bench = Bench()
        bench.names.answer(hijacked=["8.8.8.8"], mixed=["127.0.0.1", "8.8.8.8"], good=["127.0.0.1"])
        targets = [target((host, port), key=host, private=True) for host in ("hijacked", "mixed", "good")]
        async with running(watch(*targets), bench):
            assert list(bench.record.now) == ["good"]


async def test_a_name_that_leads_to_a_clouds_metadata_is_left_out() -> None:
    bench = Bench()
    bench.names.answer(bad=["169.254.169.254"], mixed=["127.0.0.1", "fd00:ec2::254"], good=["127.0.0.1"])
    targets = [target((host, 80), key=host) for host in ("bad", "mixed", "good", "169.254.169.254")]
    async with running(watch(*targets, connect=None), bench):
        assert list(bench.record.now) == ["good"]


async def test_without_connects_a_name_is_seen_as_soon_as_it_has_an_address() -> None:
    port = free_port()
    bench = Bench()
    async with running(watch(target(("box", port)), connect=None), bench):
        assert bench.record.reports == []
        bench.names.answer(box=["192.0.2.7"])
        await bench.clock.look()
        assert bench.record.places(KEY) == (("box", port),)
        bench.own = {("192.0.2.7", port)}
        await bench.clock.look()
        assert bench.record.now == {}


async def test_another_program_on_the_same_port_is_another_server() -> None:
    with listener() as server:
        port = port_of(server)
        bench = Bench()
        bench.listeners = {port: frozenset({"1", "2"})}
        async with running(watch(target(("127.0.0.1", port))), bench):
            bench.listeners = {port: frozenset({"2", "3"})}
            await bench.clock.look()
            assert len(bench.record.reports) == 1
            bench.listeners = {port: frozenset({"4"})}
            await bench.clock.look()
            assert bench.record.reports[1:] == [KEY, bench.record.reports[0]]
            bench.listeners = {}
            await bench.clock.look()
            bench.listeners = {port: frozenset({"5"})}
            await bench.clock.look()
            assert len(bench.record.reports) == 3


async def test_who_listens_here_says_nothing_of_other_computers() -> None:
    bench = Bench()
    bench.names.answer(box=["192.0.2.7"])
    bench.listeners = {80: frozenset({"1"})}
    async with running(watch(target(("box", 80), ("192.0.2.8", 80)), connect=None), bench):
        bench.listeners = {80: frozenset({"2"})}
        await bench.clock.look()
        assert len(bench.record.reports) == 1


async def test_without_targets_there_is_nothing_to_wait_for() -> None:
    async with running(watch()) as bench:
        assert bench.clock.slept == []


async def test_closing_in_the_middle_of_a_look_leaves_nothing() -> None:
    with full() as port, nothing_left():
        bench = Bench()
        bench.names.names["slow"] = None
        for place in (("127.0.0.1", port), ("slow", port)):
            made = AddressWatch("test", [target(place)], Pace(60, PATIENCE, PATIENCE), bench.around())
            await made.start()
            waiting = asyncio.create_task(made.first_round())
            for _ in range(5):
                await asyncio.sleep(0)
            await asyncio.wait_for(made.close(), PATIENCE)
            await asyncio.wait_for(waiting, PATIENCE)
        assert bench.record.reports == []


async def test_closing_twice_and_closing_what_never_started_are_nothing() -> None:
    made = AddressWatch("test", [target(("127.0.0.1", 1))], Pace(60, 1), Bench().around())
    await made.close()
    await made.close()
    await asyncio.wait_for(made.first_round(), PATIENCE)


async def test_a_report_that_fails_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def seen(self, sighting: Sighting) -> None:
            raise RuntimeError(sighting.key)

        def gone(self, key: str) -> None: ...

    with listener() as server, nothing_left():
        bench = Bench()
        bench.record = Broken()  # type: ignore[assignment]
        made = AddressWatch("test", [target(("127.0.0.1", port_of(server)))], Pace(60, 1), bench.around())
        await made.start()
        await asyncio.wait_for(made.first_round(), PATIENCE)
        await made.close()
    assert "task test:look failed" in caplog.text


async def test_many_looks_at_many_targets_leave_nothing() -> None:
    servers = [listener() for _ in range(40)]
    nobody = free_port()
    targets = [target(("127.0.0.1", port_of(s)), ("::1", nobody), key=str(n)) for n, s in enumerate(servers)]
    async with running(watch(*targets)) as bench:
        assert len(bench.record.now) == 40
        for _ in range(5):
            await bench.clock.look()
        close_all(servers)
        await bench.clock.look()
        assert bench.record.now == {}
        assert len(bench.record.reports) == 80


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "fe80::1%eth0",
        "fd00::1",
        "100.64.0.1",
        "169.254.1.1",
        "::ffff:10.0.0.1",
    ],
)
def test_an_address_of_a_local_network_is_private(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2600::1", "::ffff:8.8.8.8", "box", ""])
def test_a_public_address_and_a_name_are_not(host: str) -> None:
    assert not is_private(host)


def test_a_link_local_address_keeps_its_scope() -> None:
    assert _shown(Address(socket.AF_INET6, ("fe80::1", 80, 0, 3))) == "fe80::1%3"
    assert _shown(address("::1", 80)) == "::1"
    assert _shown(address("127.0.0.1", 80)) == "127.0.0.1"
