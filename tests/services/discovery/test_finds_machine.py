"""Any order of everything that may be sighted, against a model that knows nothing but who is who."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.services.discovery.kit import World, local, mdns, peer, turns

from nexus.services.discovery.sightings import Sighting

HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "127.0.0.1")
PORT = 8000
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
IDS = ("", "", "a", "b", "c")

Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["see", "see", "see", "gone", "gone", "claim", "unclaim", "wait", "down", "up", "trust"]
        ),
        st.integers(0, 5),
        st.integers(1, 31),
        st.integers(0, 4),
    ),
    max_size=40,
)


def _announced(step: Step) -> Sighting:
    _, number, bits, server_id = step
    hosts = [host for at, host in enumerate(HOSTS) if bits >> at & 1]
    return mdns(f"s{number}", *hosts, port=PORT, server_id=IDS[server_id])


def _components(live: dict[str, Sighting]) -> list[set[str]]:
    """Return the hosts of each server; the model's whole knowledge."""
    groups: list[tuple[set[object], set[str]]] = []
    for sighting in live.values():
        hosts = {host for host, _ in sighting.addresses}
        marks: set[object] = set(hosts)
        if sighting.server_id:
            marks.add(("id", sighting.server_id))
        apart = []
        for others, their_hosts in groups:
            if marks & others:
                marks |= others
                hosts |= their_hosts
            else:
                apart.append((others, their_hosts))
        groups = [*apart, (marks, hosts)]
    return [hosts for _, hosts in groups]


def _never_twice(w: World) -> None:
    """Hold what is true at any moment."""
    found = w.found()
    origins = [spec.origin for spec in found]
    assert len(set(origins)) == len(origins)
    names = [backend.name.casefold() for backend in w.registry.snapshot.backends.values()]
    assert len(set(names)) == len(names)
    assert len(w.finds._roster) == len(found)
    owners = w.finds._groups._owners
    assert owners.keys() == w.finds._sightings.keys()
    assert {server.number for server in owners.values()} == w.finds._servers.keys()
    for server in w.finds._servers.values():
        assert {key for key, owner in owners.items() if owner is server} == server.keys
        assert server.keys


class Play:
    """One run of steps; ``check`` is called when they are over."""

    def __init__(self, grace: float) -> None:
        self.world = World(grace=grace, allow=(LOOPBACK,))
        self.grace = grace
        self.live: dict[str, Sighting] = {}
        for host in HOSTS:
            self.world.serve(host, PORT)

    async def run(self, steps: Sequence[Step], check: Callable[[World, dict[str, Sighting]], None]) -> None:
        w = self.world
        try:
            for step in steps:
                await self.act(step)
                if step[1] % 2:
                    await w.settle()
                _never_twice(w)
            await w.settle()
            check(w, self.live)
            # With every server up, nobody is forgotten for ever.
            for host in HOSTS:
                w.serve(host, PORT)
            await w.clock.advance(130)
            _never_twice(w)
            assert all(server.registered or server.claimed for server in w.finds._servers.values())
            for key in self.live:
                w.finds.gone(key)
            await w.clock.advance(self.grace + 1)
            assert w.found() == []
            assert (len(w.finds), len(w.finds._servers), len(w.finds._groups)) == (0, 0, len(w.finds._claims))
            assert (len(w.tasks), w.clock.sleepers) == (0, 0)
        finally:
            w.finds.close()
            await w.tasks.close()
            await turns()

    async def act(self, step: Step) -> None:
        kind, number, _, _ = step
        w, host = self.world, HOSTS[number % len(HOSTS)]
        if kind == "see":
            self.see(_announced(step))
        elif kind == "trust":
            self.see(local(PORT) if number % 2 else peer(host))
        elif kind == "gone" and self.live:
            key = sorted(self.live)[number % len(self.live)]
            del self.live[key]
            w.finds.gone(key)
        elif kind == "wait":
            await w.clock.advance(number * 9)
        else:
            self.world_changes(kind, host)

    def see(self, sighting: Sighting) -> None:
        self.live[sighting.key] = sighting
        self.world.finds.seen(sighting)

    def world_changes(self, kind: str, host: str) -> None:
        w = self.world
        if kind == "claim":
            w.configure(f"mine {host}", host, PORT)
        elif kind == "unclaim":
            w.unconfigure(f"mine {host}")
        elif kind == "down":
            w.servers.pop((host, PORT), None)
        elif kind == "up":
            w.serve(host, PORT)


def _claimed(w: World) -> set[str]:
    return {spec.origin.host for spec in w.finds._claims.values()}


def _just_the_components(w: World, live: dict[str, Sighting]) -> None:
    expected = [hosts for hosts in _components(live) if not hosts & _claimed(w)]
    hosts = [spec.origin.host for spec in w.found()]
    assert len(hosts) == len(expected)
    assert all(sum(host in group for host in hosts) == 1 for group in expected)


def _nothing_configured(w: World, _: dict[str, Sighting]) -> None:
    assert not {spec.origin.host for spec in w.found()} & _claimed(w)


@settings(max_examples=150, deadline=None)
@given(STEPS)
@example([("see", 1, 1, 0), ("see", 3, 2, 0), ("see", 5, 3, 0), ("gone", 5, 1, 0)])
@example([("see", 1, 2, 0), ("see", 1, 1, 0), ("see", 0, 2, 0)])
@example([("see", 1, 1, 2), ("see", 3, 2, 2), ("claim", 1, 1, 0), ("unclaim", 1, 1, 0), ("gone", 1, 1, 0)])
def test_every_server_that_is_announced_and_not_configured_is_one_backend(steps: list[Step]) -> None:
    plain = [step for step in steps if step[0] not in ("down", "up", "trust")]
    asyncio.run(Play(grace=0).run(plain, _just_the_components))


@settings(max_examples=150, deadline=None)
@given(STEPS)
@example([("see", 0, 1, 0), ("trust", 2, 1, 0), ("trust", 0, 1, 0), ("see", 1, 5, 0)])
@example([("see", 0, 5, 0), ("trust", 2, 1, 0), ("see", 1, 1, 0), ("trust", 0, 1, 0)])
def test_no_order_of_events_makes_two_of_one_or_leaves_something_behind(steps: list[Step]) -> None:
    asyncio.run(Play(grace=20).run(steps, _nothing_configured))
