from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from tests.services.discovery.sockets import (
    PATIENCE,
    close_all,
    free_port,
    full,
    listener,
    nothing_left,
    port_of,
)
from tests.services.discovery.watching import Bench, running

from nexus.domain import DiscoverySource
from nexus.errors import ConfigError
from nexus.http.resolve import SystemResolver
from nexus.services.discovery.peers import Peers
from nexus.tasks import TaskOwner


def peers(*named: str) -> Callable[[Bench], Peers]:
    return lambda bench: Peers(bench.around(), 60.0, named)


async def test_a_peer_is_seen_under_its_name() -> None:
    bench = Bench()
    bench.names.answer(box=["127.0.0.1"])
    with listener() as server:
        port = port_of(server)
        async with running(peers(f"Box:{port}"), bench):
            (sighting,) = bench.record.now.values()
            assert sighting.key == f"peer:box:{port}"
            assert sighting.source is DiscoverySource.PEER
            assert sighting.found_by == f"peer box:{port}"
            assert sighting.addresses == (("box", port),)


async def test_an_ipv6_peer_is_named_with_brackets() -> None:
    with listener("::1") as server:
        port = port_of(server)
        async with running(peers(f"[::1]:{port}")) as bench:
            assert bench.record.places(f"peer:[::1]:{port}") == (("::1", port),)


async def test_a_name_of_this_computer_is_resolved_by_the_system() -> None:
    tasks = TaskOwner("names")
    with listener() as server:
        port = port_of(server)
        async with running(
            lambda bench: Peers(bench.around(SystemResolver(tasks)), 60.0, [f"localhost:{port}"])
        ) as b:
            assert b.record.places(f"peer:localhost:{port}") == (("localhost", port),)
    await tasks.close()


async def test_a_peer_that_leaves_is_gone_and_one_that_returns_is_seen() -> None:
    port = free_port()
    async with running(peers(f"127.0.0.1:{port}")) as bench:
        for _ in range(3):
            with listener(port=port):
                await bench.clock.look()
                assert len(bench.record.now) == 1
            await bench.clock.look()
            assert bench.record.now == {}


async def test_a_peer_that_is_nexus_itself_is_not_seen() -> None:
    bench = Bench()
    bench.names.answer(myself=["127.0.0.1"])
    with listener() as server:
        port = port_of(server)
        bench.own = {("127.0.0.1", port)}
        async with running(peers(f"myself:{port}", f"127.0.0.1:{port}"), bench):
            assert bench.record.reports == []


async def test_peers_that_cannot_be_reached_or_resolved_hide_no_other() -> None:
    bench = Bench()
    bench.names.names["slow"] = None
    bench.names.answer(box=["127.0.0.1"])
    with full() as silent, listener() as server:
        port = port_of(server)
        began = time.monotonic()
        made = peers(f"127.0.0.1:{silent}", f"slow:{port}", f"nobody:{port}", f"box:{port}")
        async with running(made, bench):
            assert list(bench.record.now) == [f"peer:box:{port}"]
            assert time.monotonic() - began < 10.0


async def test_a_peer_named_twice_is_looked_at_once() -> None:
    with listener() as server:
        port = port_of(server)
        async with running(
            peers(f"127.0.0.1:{port}", f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/")
        ) as bench:
            assert len(bench.record.reports) == 1


async def test_hundreds_of_peers_and_a_close_in_the_middle_leave_nothing() -> None:
    servers = [listener() for _ in range(150)]
    named = [f"127.0.0.1:{port_of(server)}" for server in servers]
    async with running(peers(*named)) as bench:
        assert len(bench.record.now) == 150
    with nothing_left():
        made = Peers(Bench().around(), 60.0, named)
        await made.start()
        for _ in range(4):
            await asyncio.sleep(0)
        await asyncio.wait_for(made.close(), PATIENCE)
    close_all(servers)


async def test_a_name_that_moves_is_followed() -> None:
    bench = Bench()
    bench.names.answer(box=["127.0.0.1"])
    port = free_port()
    key = f"peer:box:{port}"
    with listener("127.0.0.2", port):
        first = listener(port=port)
        async with running(peers(f"box:{port}"), bench):
            first.close()
            bench.names.answer(box=["127.0.0.2"])
            await bench.clock.look()
            assert bench.record.places(key) == (("box", port),)
            assert key not in bench.record.reports


@pytest.mark.parametrize("peer", ["", ":80", "box:0", "box:99999", "user:secret@box:80", "a b:80"])
def test_what_is_no_host_and_port_is_refused_and_not_echoed(peer: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Peers(Bench().around(), 60.0, [peer])
    assert "secret" not in str(refused.value)
