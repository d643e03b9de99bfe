"""Which server each sighting is of, as sightings come, change and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from nexus.services.discovery.links import Links, Mark
from nexus.services.discovery.places import Place
from nexus.services.discovery.servers import Server

_CLAIM: Final = "backend:"


class Group(msgspec.Struct, frozen=True):
    """What belongs together now.

    Attributes:
        server: that it is; ``None`` for a new one.
        keys: of its sightings.
        claim: id of the configured or manual backend that it is, or empty.
    """

    server: Server | None
    keys: frozenset[str]
    claim: str


class Groups:
    """Keeps a server the same while its sightings change around it."""

    __slots__ = ("_links", "_owners")

    def __init__(self) -> None:
        self._links = Links()
        self._owners: dict[str, Server] = {}

    def __len__(self) -> int:
        return len(self._links)

    def owner(self, key: str) -> Server | None:
        """Return the server that ``key`` is a sighting of."""
        return self._owners.get(key)

    def put(self, key: str, marks: Iterable[Mark], *, trusted: bool) -> None:
        """Give a sighting its marks."""
        self._links.put(key, marks, trusted=trusted)

    def put_claim(self, backend_id: str, marks: Iterable[Mark]) -> None:
        """Let a configured or manual backend claim every server with one of ``marks``."""
        self._links.put(_CLAIM + backend_id, marks, trusted=True)

    def drop_claim(self, backend_id: str) -> None:
        """Take a claim back."""
        self._links.drop(_CLAIM + backend_id)

    def drop(self, key: str) -> None:
        """Forget a sighting."""
        self._links.drop(key)
        server = self._owners.pop(key, None)
        if server is not None:
            server.keys.discard(key)

    def give(self, server: Server, keys: Iterable[str]) -> None:
        """Make ``keys`` the sightings of ``server``, and no others."""
        for key in server.keys:
            if self._owners.get(key) is server:
                del self._owners[key]
        server.keys = set(keys)
        for key in server.keys:
            self._owners[key] = server

    def again(self, keys: Iterable[str]) -> tuple[list[Group], list[Server]]:
        """Work out anew what ``keys``, and all that was or is together with them, are.

        Returns:
            The groups, and the servers that turned out to be one of those in the groups.
        """
        sets, servers = self._reach(set(keys))
        homes: dict[int, Server] = {}
        merged: list[Server] = []
        for server in sorted(servers, key=lambda server: server.seniority):
            choices = [at for at, found in enumerate(sets) if at not in homes and found & server.keys]
            if choices:
                homes[max(choices, key=lambda at: self._fit(sets[at], server))] = server
            else:
                merged.append(server)
        groups: list[Group] = []
        for at, found in enumerate(sets):
            claims = {key for key in found if key.startswith(_CLAIM)}
            claim = min(claims, default="").removeprefix(_CLAIM)
            if found > claims:
                groups.append(Group(homes.get(at), frozenset(found - claims), claim))
        return groups, merged

    def belongs_elsewhere(self, place: Place, server: Server, *, trusted: bool) -> bool:
        """Tell whether somebody, or somebody trusted, says that another server is at ``place``."""
        keys = self._links.at(("at", *place), trusted=trusted)
        return any(self._owners.get(key) is not server for key in keys)

    def _reach(self, keys: set[str]) -> tuple[list[set[str]], list[Server]]:
        while True:
            sets = self._links.groups(keys)
            reached = keys.union(*sets)
            servers = {server.number: server for key in reached if (server := self._owners.get(key))}
            wider = reached.union(*(server.keys for server in servers.values()))
            if wider == keys:
                return sets, list(servers.values())
            keys = wider

    def _fit(self, keys: set[str], server: Server) -> tuple[bool, bool, int, str]:
        """Rank a group as what ``server`` goes on as: where its backend is, else where most of it is."""
        named = there = False
        if server.place is not None:
            mark = ("at", *server.place)
            named = not keys.isdisjoint(self._links.at(mark, trusted=True))
            there = any(mark in self._links.marks(key) for key in keys)
        return named, there, len(keys & server.keys), min(keys)
