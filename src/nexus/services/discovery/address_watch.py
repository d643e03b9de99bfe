"""Looks at known addresses again and again, and reports who listens there.

Laws: what leads to this Nexus is never reported; a server is gone when every address of it
refused, not when a name server failed or an answer was late; a look costs a connect for each
address and nothing else; names are resolved anew each time, off the event loop, and reported as
names, since a certificate or a proxy may know the server by no other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.domain import replace
from nexus.http.metadata import is_metadata_address
from nexus.http.resolve import Address, Resolver
from nexus.services.discovery.knock import Answer, knock
from nexus.services.discovery.sightings import Sighting, Sightings
from nexus.tasks import Clock, TaskOwner

SILENT_LOOKS: Final = 3
"""Looks in a row without any answer after which a server that was seen counts as gone."""

Listeners = Mapping[int, frozenset[str]]
"""Port to what tells its listening sockets from those that were there before."""

_NO_LISTENERS: Final[Listeners] = MappingProxyType({})
_Place = tuple[str, int]


class Target(msgspec.Struct, frozen=True):
    """One server to look for.

    Attributes:
        sighting: what to report; its addresses are those to try, and may be names.
        private: leave out a host that turns out to have a public address.
    """

    sighting: Sighting
    private: bool = False


class Pace(msgspec.Struct, frozen=True):
    """How often and how patiently.

    Attributes:
        every_seconds: between the end of one look and the next.
        connect_seconds: for each connect; ``None`` connects nowhere and takes every address that
            a name has for open.
        resolve_seconds: for all names of one look.
    """

    every_seconds: float
    connect_seconds: float | None
    resolve_seconds: float = 1.0


class Surroundings(msgspec.Struct, frozen=True):
    """What all watches share.

    Attributes:
        sightings: reported to.
        clock: the time between looks.
        resolver: finds the addresses of names.
        is_self: whether an address and port are this Nexus's own.
        listeners: tells when another program took over a port of this computer; ``None`` where,
            or while, nobody tells.
    """

    sightings: Sightings
    clock: Clock
    resolver: Resolver
    is_self: Callable[[str, int], bool]
    listeners: Callable[[], Listeners | None] = lambda: None


class _Host(msgspec.Struct, frozen=True):
    """One host of a target, as it was resolved now: its places are addresses, its text may be a name."""

    text: str
    port: int
    places: Mapping[_Place, Address]


class _Seen(msgspec.Struct):
    """What is remembered of a target."""

    sighting: Sighting | None = None
    alive: frozenset[_Place] = frozenset()
    listeners: frozenset[str] = frozenset()
    silent: int = 0


class AddressWatch:
    """One source of sightings.

    Args:
        name: of its tasks.
        targets: what to look for.
        pace: how often and how patiently.
        around: what all watches share.
    """

    def __init__(self, name: str, targets: Iterable[Target], pace: Pace, around: Surroundings) -> None:
        self._targets = tuple(targets)
        self._pace = pace
        self._around = around
        self._tasks = TaskOwner(name)
        self._looked = asyncio.Event()
        self._changed: set[int] = set()
        self._rest: asyncio.Task[None] | None = None
        self._seen = {target.sighting.key: _Seen() for target in self._targets}
        self._known: dict[_Place, Sequence[Address]] = {}
        self._lookups: dict[_Place, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Look now, and from now on; without targets there is nothing to do."""
        if self._targets:
            self._tasks.spawn(self._run(), "look")
        else:
            self._looked.set()

    async def first_round(self) -> None:
        """Wait until the first look is over; what it saw is reported by then."""
        await self._looked.wait()

    def look_soon(self, ports: Iterable[int]) -> None:
        """Look at some ports now, or once the look that is under way is over.

        The next look at all targets is when it was to be, so that a port that changes all the
        time delays nothing.
        """
        self._changed.update(ports)
        if self._rest is not None:
            self._rest.cancel()

    async def close(self) -> None:
        """Stop looking; nothing is reported as gone."""
        await self._tasks.close()
        self._looked.set()

    async def _run(self) -> None:
        clock, every = self._around.clock, self._pace.every_seconds
        try:
            while True:
                self._changed.clear()
                await self._look(self._targets)
                self._looked.set()
                due = clock.now() + every
                pause = every
                while await self._interrupted(pause):
                    ports = frozenset(self._changed)
                    self._changed.clear()
                    await self._look(
                        [
                            one
                            for one in self._targets
                            if any(port in ports for _, port in one.sighting.addresses)
                        ]
                    )
                    pause = max(0.0, due - clock.now())
        finally:
            self._looked.set()

    async def _interrupted(self, seconds: float) -> bool:
        """Rest, and tell whether a port changed meanwhile or before."""
        if not self._changed:
            self._rest = self._tasks.spawn(self._around.clock.sleep(seconds), "rest")
            await asyncio.wait((self._rest,))
            self._rest = None
        return bool(self._changed)

    async def _look(self, targets: Sequence[Target]) -> None:
        listeners = self._around.listeners() or _NO_LISTENERS
        await self._resolve_names(targets)
        hosts = {target.sighting.key: self._hosts(target) for target in targets}
        addresses = [a for found in hosts.values() for host in found for a in host.places.values()]
        if self._pace.connect_seconds is None:
            answers = dict.fromkeys(addresses, Answer.OPEN)
        else:
            answers = await knock(addresses, self._pace.connect_seconds)
        for target in targets:
            self._report(target, hosts[target.sighting.key], answers, listeners)

    async def _resolve_names(self, targets: Sequence[Target]) -> None:
        """Bring the known addresses up to date.

        Those of a name that cannot be resolved now stay. A look-up that takes longer than a look
        waits serves the next one, and is not asked a second time meanwhile.
        """
        places = {place for target in targets for place in target.sighting.addresses}
        for place in sorted(places - self._lookups.keys()):
            if place not in self._known or not _is_address(place[0]):
                self._lookups[place] = self._tasks.spawn(self._resolve(*place), f"resolve {place[0]}")
        if self._lookups:
            await asyncio.wait(self._lookups.values(), timeout=self._pace.resolve_seconds)

    async def _resolve(self, host: str, port: int) -> None:
        try:
            self._known[host, port] = await self._around.resolver.resolve(host, port)
        except OSError:
            # Often nobody has that name, as outside of Docker nobody has Docker's.
            return
        finally:
            self._lookups.pop((host, port), None)

    def _hosts(self, target: Target) -> list[_Host]:
        """Return what may be asked for a target."""
        hosts: list[_Host] = []
        for text, port in target.sighting.addresses:
            known = self._known.get((text, port), ())
            places = {(text if _is_address(text) else _shown(address), port): address for address in known}
            if places and not any(self._forbidden(host, port, target) for host, _ in places):
                hosts.append(_Host(text, port, places))
        return hosts

    def _forbidden(self, host: str, port: int, target: Target) -> bool:
        # One such address of a name spoils the name: a request may take any of them.
        if is_metadata_address(host) or (target.private and not is_private(host)):
            return True
        return self._around.is_self(host, port)

    def _report(
        self, target: Target, hosts: list[_Host], answers: Mapping[Address, Answer], listeners: Listeners
    ) -> None:
        seen = self._seen[target.sighting.key]
        heard = {answers[address] for host in hosts for address in host.places.values()}
        if Answer.OPEN in heard:
            # What was silent this time only is still there.
            alive = frozenset(
                place
                for host in hosts
                for place, address in host.places.items()
                if answers[address] is Answer.OPEN
                or (answers[address] is Answer.SILENT and place in seen.alive)
            )
            addresses = tuple((host.text, host.port) for host in hosts if not alive.isdisjoint(host.places))
            sighting = replace(target.sighting, addresses=addresses)
            self._saw(sighting, seen, _listening(target, listeners))
            seen.alive = alive
        elif seen.sighting is not None:
            # Nothing left to ask is as good as a refusal: it became ours, or public.
            seen.silent = seen.silent + 1 if Answer.SILENT in heard else SILENT_LOOKS
            if seen.silent >= SILENT_LOOKS:
                self._seen[target.sighting.key] = _Seen()
                self._around.sightings.gone(target.sighting.key)

    def _saw(self, sighting: Sighting, seen: _Seen, now: frozenset[str]) -> None:
        replaced = bool(seen.listeners and now) and seen.listeners.isdisjoint(now)
        if seen.sighting is not None and replaced:
            self._around.sightings.gone(sighting.key)
        if replaced or sighting != seen.sighting:
            self._around.sightings.seen(sighting)
        seen.sighting, seen.listeners, seen.silent = sighting, now, 0


def is_private(host: str) -> bool:
    """Tell whether an address is of this computer, a local network or an overlay such as Tailscale's."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not (mapped or address).is_global


def _listening(target: Target, listeners: Listeners) -> frozenset[str]:
    """Return what listens on a target's ports, as far as they are this computer's."""
    here = {port for host, port in target.sighting.addresses if _is_loopback(host)}
    return frozenset().union(*(listeners.get(port, frozenset()) for port in here))


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown(address: Address) -> str:
    """Return an address in text; a link-local one is nothing without its scope (RFC 4007 section 11)."""
    host = str(address.target[0])
    scope = address.target[3] if address.family == socket.AF_INET6 and len(address.target) > 3 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
