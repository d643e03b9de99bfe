from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from tests.services.discovery.sockets import (
    PATIENCE,
    close_all,
    free_port,
    full,
    listener,
    nothing_left,
    pair,
    port_of,
)
from tests.services.discovery.watching import Bench, running

from nexus.domain import DiscoverySource, replace
from nexus.services.discovery.listen_watch import CHECK_SECONDS
from nexus.services.discovery.listeners import listening_sockets
from nexus.services.discovery.local_ports import PORTS, LocalPorts
from nexus.services.discovery.own_addresses import OwnAddresses


def ports(*numbers: int, hosts: Sequence[str] = ()) -> Callable[[Bench], LocalPorts]:
    return lambda bench: LocalPorts(bench.around(), 60.0, hosts, numbers)


@contextmanager
def speaking(greet: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does something odd with every connection."""
    server = listener()
    server.settimeout(PATIENCE)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                greet(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield port_of(server)
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(PATIENCE)


async def test_an_open_port_is_a_sighting_with_both_addresses() -> None:
    four, six = pair()
    port = port_of(four)
    async with running(ports(port, free_port())) as bench:
        (sighting,) = bench.record.reports
        assert not isinstance(sighting, str)
        assert sighting.key == f"port:127.0.0.1:{port}"
        assert sighting.source is DiscoverySource.LOCAL
        assert sighting.found_by == f"port {port} on this computer"
        assert sighting.addresses == (("127.0.0.1", port), ("::1", port))
        assert (sighting.tls, sighting.path, sighting.name) == (False, "", "")
    close_all((four, six))


async def test_a_server_on_ipv6_alone_is_found_under_the_same_key() -> None:
    port = free_port()
    with listener("::1", port):
        async with running(ports(port)) as bench:
            assert bench.record.places(f"port:127.0.0.1:{port}") == (("::1", port),)


async def test_servers_that_come_and_go_are_seen_and_gone() -> None:
    made = [listener() for _ in range(6)]
    numbers = [port_of(sock) for sock in made]
    close_all(made)
    async with running(ports(*numbers)) as bench:
        assert bench.record.now == {}
        for _ in range(5):
            servers = [listener(port=number) for number in numbers]
            await bench.clock.look()
            assert len(bench.record.now) == 6
            close_all(servers)
            await bench.clock.look()
            assert bench.record.now == {}
        assert set(bench.clock.slept) == {60.0}


@pytest.mark.parametrize(
    "greet",
    [
        lambda _: time.sleep(0.01),
        lambda connection: connection.sendall(b"220 smtp.example ESMTP\r\n" * 100),
        lambda connection: connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"),
    ],
    ids=["silent", "speaks first", "resets"],
)
async def test_whatever_accepts_is_reported_and_left_alone_while_it_stays(
    greet: Callable[[socket.socket], None],
) -> None:
    with speaking(greet) as port:
        async with running(ports(port)) as bench:
            await bench.clock.look()
            await bench.clock.look()
            assert len(bench.record.reports) == 1


async def test_a_port_that_hangs_does_not_delay_the_first_round_beyond_its_limit() -> None:
    with full() as port, listener() as server:
        began = time.monotonic()
        async with running(ports(port, port_of(server))) as bench:
            assert time.monotonic() - began < 2.0
            assert list(bench.record.now) == [f"port:127.0.0.1:{port_of(server)}"]


async def test_nexus_never_sees_its_own_port() -> None:
    four, six = pair()
    port = port_of(four)
    own = OwnAddresses()
    own.bind([("127.0.0.1", port), ("::1", port)])

    def make(bench: Bench) -> LocalPorts:
        around = bench.around()
        return LocalPorts(replace(around, is_self=own.is_self), 60.0, (), (port,))

    async with running(make) as bench:
        await bench.clock.look()
        assert bench.record.reports == []
    close_all((four, six))


async def test_the_other_family_of_our_own_port_may_be_somebody_else() -> None:
    four, six = pair()
    port = port_of(four)
    bench = Bench()
    bench.own = {("127.0.0.1", port)}
    async with running(ports(port), bench):
        assert bench.record.places(f"port:127.0.0.1:{port}") == (("::1", port),)
    close_all((four, six))


async def test_in_a_container_its_host_is_looked_at_too() -> None:
    hosts = ("host.docker.internal", "host.containers.internal", "127.0.0.3")
    bench = Bench()
    bench.names.answer(**{"host.docker.internal": ["127.0.0.2"]})
    port = free_port()
    with listener("127.0.0.2", port):
        async with running(ports(port, hosts=hosts), bench):
            await bench.clock.resting(2)
            key = f"port:host.docker.internal:{port}"
            assert bench.record.places(key) == (("host.docker.internal", port),)
            assert bench.record.now[key].found_by == f"port {port} on this container's host"
            with listener("127.0.0.3", port):
                await bench.clock.look(2)
                assert bench.record.places(key)[1:] == (("127.0.0.3", port),)


async def test_a_name_of_the_host_that_leads_to_the_internet_is_left_out() -> None:
    bench = Bench()
    bench.names.answer(**{"host.docker.internal": ["8.8.8.8"]})
    async with running(ports(free_port(), hosts=("host.docker.internal",)), bench):
        await bench.clock.resting(2)
        assert bench.record.reports == []


async def test_a_dead_name_server_of_a_container_delays_nothing_on_this_computer() -> None:
    bench = Bench()
    bench.names.names["host.docker.internal"] = None
    with listener() as server, nothing_left():
        made = LocalPorts(bench.around(), 60.0, ("host.docker.internal",), (port_of(server),))
        await made.start()
        await bench.clock.resting(1)
        assert list(bench.record.now) == [f"port:127.0.0.1:{port_of(server)}"]
        await asyncio.wait_for(made.first_round(), PATIENCE)
        await made.close()


async def test_a_program_that_takes_over_a_port_between_two_looks_is_reported_anew() -> None:
    port = free_port()

    def make(bench: Bench) -> LocalPorts:
        around = replace(bench.around(), listeners=listening_sockets)
        return LocalPorts(around, 60.0, (), (port,))

    first = listener(port=port)
    async with running(make) as bench:
        await bench.clock.look()
        assert len(bench.record.reports) == 1
        first.close()
        with listener(port=port):
            await bench.clock.look()
            assert [type(report) for report in bench.record.reports[1:]] == [
                str,
                type(bench.record.reports[0]),
            ]
            await bench.clock.look()
            assert len(bench.record.reports) == 3


async def test_the_usual_ports_are_all_different_and_docker_s_runner_has_its_own_root() -> None:
    assert len(set(PORTS)) == len(PORTS) == 12
    with nothing_left():
        made = LocalPorts(Bench().around(), 60.0)
        await made.close()


async def test_hundreds_of_ports_are_looked_at_without_hundreds_of_sockets() -> None:
    servers = [listener() for _ in range(200)]
    async with running(ports(*(port_of(server) for server in servers))) as bench:
        assert len(bench.record.now) == 200
        close_all(servers)
        await bench.clock.look()
        assert bench.record.now == {}


async def test_a_port_that_opens_or_closes_is_looked_at_without_waiting_for_the_next_look() -> None:
    port, other = free_port(), free_port()
    bench = Bench()
    bench.listeners = {}
    async with running(ports(port, other), bench):
        for number in ("1", "2"):
            with listener(port=port), listener(port=other):
                bench.listeners = {port: frozenset({number})}
                await bench.clock.check()
                await bench.clock.resting()
                assert list(bench.record.now) == [f"port:127.0.0.1:{port}"], "the other one did not change"
            bench.listeners = {}
            await bench.clock.check()
            await bench.clock.resting()
            assert bench.record.now == {}
        assert bench.clock.slept.count(60.0) == 1
        assert max(bench.clock.slept) == 60.0


async def test_changes_all_the_time_do_not_put_off_the_look_at_all_ports() -> None:
    port, other = free_port(), free_port()
    bench = Bench()
    bench.listeners = {}
    async with running(ports(port, other), bench):
        for number in range(3):
            bench.listeners = {port: frozenset({str(number)})}
            await bench.clock.check()
            await bench.clock.resting()
        assert bench.clock.slept.count(60.0) == 1
        assert [pause for pause in bench.clock.slept if pause not in (60.0, CHECK_SECONDS)] != []
        with listener(port=other):
            await bench.clock.look()
            assert list(bench.record.now) == [f"port:127.0.0.1:{other}"]
        assert bench.clock.slept.count(60.0) == 2


async def test_a_change_during_a_look_is_looked_at_once_it_is_over() -> None:
    port = free_port()
    with full() as hanging:
        bench = Bench()
        bench.listeners = {}
        with nothing_left():
            made = LocalPorts(bench.around(), 60.0, (), (port, hanging))
            await made.start()
            await asyncio.sleep(0.05)
            with listener(port=port):
                bench.listeners = {port: frozenset({"1"})}
                await bench.clock.check()
                await bench.clock.resting()
                assert list(bench.record.now) == [f"port:127.0.0.1:{port}"]
            await asyncio.wait_for(made.close(), PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
async def test_a_real_server_is_noticed_at_the_next_check() -> None:
    port = free_port()

    def make(bench: Bench) -> LocalPorts:
        around = replace(bench.around(), listeners=listening_sockets)
        return LocalPorts(around, 60.0, (), (port,))

    async with running(make) as bench:
        for host in ("127.0.0.1", "::1"):
            with listener(host, port):
                await bench.clock.check()
                await bench.clock.resting()
                assert bench.record.places(f"port:127.0.0.1:{port}") == ((host, port),)
            await bench.clock.check()
            await bench.clock.resting()
            assert bench.record.now == {}
