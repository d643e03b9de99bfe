"""What is known of one sighted server, and where it may be asked."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from nexus.backends.detect import Verdict
from nexus.config.url import parse_url
from nexus.domain import BackendSpec, DiscoverySource, Origin
from nexus.errors import ConfigError
from nexus.services.discovery.places import THIS_COMPUTER, Place, place_of, preference
from nexus.services.discovery.sightings import Sighting

DEFAULT_ROOT: Final = "/v1"
MAX_HOSTS: Final = 8
"""Addresses of one server that are asked at most: whoever announces it may list any number."""

_Order = tuple[int, bool, int, int, str]

RANKS: Final = {DiscoverySource.LOCAL: 0, DiscoverySource.PEER: 1, DiscoverySource.MDNS: 2}
"""Whose word about a server comes first."""


class Target(msgspec.Struct, frozen=True):
    """One way to ask a server.

    Attributes:
        origin: where.
        place: the same, as it is compared.
        api_root, native_root: as in ``domain.BackendSpec``.
        sighting: who says so.
    """

    origin: Origin
    place: Place
    api_root: str
    native_root: str
    sighting: Sighting


class Server:
    """One server, however many sightings there are of it.

    Attributes:
        number: grows with each server.
        announced: only the network tells of it, nobody named it.
        keys: of its sightings.
        backend: as registered, or ``None``.
        place: where the registered one is.
        claimed: id of the configured or manual backend that it is, or empty.
        due: monotonic seconds at which it is to be examined; ``inf`` for never.
        failures: examinations in a row that nobody answered.
        verdict: what it was found to be last, or ``None``.
        tried: targets of the last examination that came to an end.
        crowded: it waits for a place: there are as many backends as may be, or another is where it is.
        gone_at: monotonic seconds at which its last sighting went, or ``None``.
        doubt_at: while it is gone, monotonic seconds at which it is doubted next.
        task: the examination that runs.
    """

    __slots__ = (
        "announced",
        "backend",
        "claimed",
        "crowded",
        "doubt_at",
        "due",
        "failures",
        "gone_at",
        "keys",
        "number",
        "place",
        "task",
        "tried",
        "verdict",
    )

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.announced = True
        self.keys: set[str] = set()
        self.backend: BackendSpec | None = None
        self.place: Place | None = None
        self.claimed = ""
        self.due = now
        self.failures = 0
        self.verdict: Verdict | None = None
        self.tried: frozenset[tuple[Origin, str]] = frozenset()
        self.crowded = False
        self.gone_at: float | None = None
        self.doubt_at = -math.inf
        self.task: asyncio.Task[Any] | None = None

    @property
    def seniority(self) -> tuple[bool, int]:
        """Sorts first whose backend stays when two servers turn out to be one."""
        return self.backend is None, self.number

    @property
    def registered(self) -> bool:
        """It has a backend of its own, sighted or in its grace period."""
        return self.backend is not None

    def rest(self) -> None:
        """Ask nothing of it, and end an examination that runs."""
        self.due = math.inf
        if self.task is not None:
            self.task.cancel()
            self.task = None


def targets(
    sightings: Iterable[Sighting], is_own: Callable[[str], bool], held: Origin | None = None
) -> list[Target]:
    """Return every way to ask a server, best first, each once.

    People's word comes before an announcement, this computer before others, IPv4 before IPv6
    before names, a hinted path before the usual one.

    Law: whoever copies the id of a server cannot push its addresses out by naming many: the one
    that is held stays, and of the others each sighting names one in turn.

    Args:
        sightings: of one server.
        is_own: whether an address is one of this computer's interfaces.
        held: where the server's backend is.
    """
    ranked: list[tuple[_Order, Sighting, str, Place]] = []
    for sighting in sightings:
        for at, (host, port) in enumerate(sighting.addresses):
            place = place_of(host, port, is_own)
            rank = RANKS.get(sighting.source, len(RANKS))
            order = (rank, place[0] != THIS_COMPUTER, preference(host), at, sighting.key)
            ranked.append((order, sighting, host, place))
    ranked.sort(key=lambda entry: entry[0])
    found: dict[tuple[Origin, str], Target] = {}
    hosts = _in_turn(ranked, held)
    for _, sighting, host, place in ranked:
        if (host, place[1]) not in hosts:
            continue
        scheme = "https" if sighting.tls else "http"
        for root in dict.fromkeys((_root(sighting.path), DEFAULT_ROOT)):
            origin = Origin(scheme, host, place[1])
            target = Target(origin, place, root, root.removesuffix("/v1"), sighting)
            found.setdefault((origin, root), target)
    return list(found.values())


def _in_turn(ranked: Iterable[tuple[_Order, Sighting, str, Place]], held: Origin | None) -> set[Place]:
    """Return the ``MAX_HOSTS`` hosts and ports that are asked."""
    named: Counter[str] = Counter()
    turns: list[tuple[bool, int, int, Place]] = []
    for order, sighting, host, place in ranked:
        at = (host, place[1])
        away = held is None or at != (held.host, held.port)
        turns.append((away, order[0], named[sighting.key], at))
        named[sighting.key] += 1
    turns.sort(key=lambda turn: turn[:3])
    return set(list(dict.fromkeys(at for *_, at in turns))[:MAX_HOSTS])


def tried(asked: Iterable[Target]) -> frozenset[tuple[Origin, str]]:
    """Return what tells whether there is a new way to ask."""
    return frozenset((target.origin, target.api_root) for target in asked)


def _root(path: str) -> str:
    """Return an announced path as an API root; one that is none is as good as no hint."""
    if not path.startswith("/"):
        path = f"/{path}"
    try:
        return parse_url(f"http://host{path}").api_root
    except ConfigError:
        return DEFAULT_ROOT
