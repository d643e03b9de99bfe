"""Found servers as backends: their ids, their names, and how many there may be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final

from nexus.backends.detect import Verdict
from nexus.domain import Backend, BackendSpec, BackendType, DiscoverySource, replace
from nexus.observe.events import EventLog
from nexus.registry.registry import Registry
from nexus.services.discovery.names import MAX_LENGTH, first_readable, readable, unique
from nexus.services.discovery.places import THIS_COMPUTER, Place, address_of
from nexus.services.discovery.servers import RANKS, Server, Target
from nexus.services.discovery.sightings import Sighting

_log: Final = EventLog("discovery")

Register = Callable[[BackendSpec, Verdict], None]
Forget = Callable[[str], None]

CONFIGURED: Final = frozenset({DiscoverySource.STATIC, DiscoverySource.MANUAL})
MAX_NAMES: Final = 1024
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Roster:
    """Enters servers into the registry under stable ids and names.

    Args:
        registry: read for names and ids that are taken.
        register: makes a backend of a specification, or gives a known one a new one.
        forget: removes a backend.
        most: backends that may be entered at a time.
    """

    __slots__ = ("_forget", "_most", "_names", "_places", "_register", "_registry", "_servers", "_warned")

    def __init__(self, registry: Registry, register: Register, forget: Forget, most: int) -> None:
        self._registry = registry
        self._register = register
        self._forget = forget
        self._most = most
        self._servers: dict[str, Server] = {}
        self._places: dict[Place, Server] = {}
        # By id: what was suggested, and the name that came of it.
        self._names: dict[str, tuple[str, str]] = {}
        self._warned = False

    def __len__(self) -> int:
        return len(self._servers)

    def server(self, backend_id: str) -> Server | None:
        """Return the server whose backend has that id."""
        return self._servers.get(backend_id)

    def at(self, place: Place) -> Server | None:
        """Return the server whose backend is at ``place``."""
        return self._places.get(place)

    def draft(self, server: Server, target: Target) -> BackendSpec:
        """Return what ``server`` would be registered as at ``target``, as far as it is known now."""
        sighting = target.sighting
        spec = server.backend
        if spec is None:
            new_id = self._new_id(target)
            left = self._registry.get(new_id)
            # One that an earlier discovery left behind is taken over, with what was changed about it.
            spec = (
                BackendSpec(new_id, new_id, target.origin, source=sighting.source)
                if left is None
                else left.spec
            )
        elif (present := self._registry.get(spec.id)) is not None:
            # What an operator has changed about it stays when it moves.
            spec = present.spec
        if (spec.origin, spec.api_root) == (target.origin, target.api_root) and server.registered:
            return spec
        return replace(
            spec,
            origin=target.origin,
            api_root=target.api_root,
            native_root=target.native_root,
            found_by=sighting.found_by,
        )

    def enter(self, server: Server, target: Target, verdict: Verdict, sightings: Iterable[Sighting]) -> bool:
        """Register ``server`` at ``target``, or move its backend there.

        Args:
            server: was examined well.
            target: where.
            verdict: what it is.
            sightings: of it; they suggest names.

        Returns:
            Whether there was room.
        """
        spec = self.draft(server, target)
        known = server.backend
        if known is not None:
            # An operator may have removed it by hand: then it stays away while it is sighted.
            if spec != known and self._registry.get(known.id) is not None:
                server.backend = spec
                self._register(spec, verdict)
                _log.info("backend moved", backend=spec.name, url=str(spec.origin), found_by=spec.found_by)
            self._put(server, target.place)
            return True
        if not self._has_room(server):
            return False
        named = spec.name if spec.name != spec.id else ""
        suggested = _suggested(sightings, target, verdict)
        before, name = self._names.get(spec.id, ("", ""))
        if before != suggested:
            name = named or suggested
        name = unique(name, self._taken(spec.id, over_announced=not server.announced))
        self._yield_names({name.casefold()}, [other for other in self._servers.values() if other.announced])
        spec = replace(spec, name=name)
        server.backend = spec
        self._put(server, target.place)
        self._servers[spec.id] = server
        self._remember(spec, suggested)
        self._register(spec, verdict)
        _log.info(
            "backend found",
            backend=spec.name,
            type=str(verdict.type),
            url=str(spec.origin),
            found_by=spec.found_by,
        )
        return True

    def leave(self, server: Server, why: str) -> None:
        """Remove the backend of ``server``; requests that it runs end as usual."""
        spec, server.backend = server.backend, None
        self._put(server, None)
        if spec is not None:
            del self._servers[spec.id]
            self._forget(spec.id)
            _log.info("backend removed", backend=spec.name, reason=why)

    def give_way(self) -> None:
        """Rename found backends whose name a configured or manual one has come to bear."""
        theirs = {
            backend.name.casefold()
            for backend in self._registry.snapshot.backends.values()
            if backend.spec.source in CONFIGURED
        }
        self._yield_names(theirs, tuple(self._servers.values()))

    def _yield_names(self, theirs: set[str], servers: Iterable[Server]) -> None:
        for server in servers:
            spec = server.backend
            if spec is None or spec.name.casefold() not in theirs:
                continue
            present = self._registry.get(spec.id)
            if present is not None and server.verdict is not None:
                name = unique(spec.name, self._taken(spec.id) | theirs)
                server.backend = replace(present.spec, name=name)
                self._remember(server.backend, self._names.get(spec.id, ("", ""))[0])
                self._register(server.backend, server.verdict)

    def _put(self, server: Server, place: Place | None) -> None:
        if server.place is not None:
            del self._places[server.place]
        server.place = place
        if place is not None:
            self._places[place] = server

    def _has_room(self, server: Server) -> bool:
        if len(self._servers) < self._most:
            return True
        if not self._warned:
            self._warned = True
            _log.warning(
                "no more backends are added: there are as many as [discovery] max_backends allows",
                max_backends=self._most,
            )
        # A flood of announcements must not keep out what runs here or what somebody named.
        announced = [other for other in self._servers.values() if other.announced]
        if server.announced or not announced:
            return False
        last = max(announced, key=lambda other: other.number)
        self.leave(last, "made room for one that was not merely announced")
        last.crowded = True
        return True

    def _taken(self, own_id: str, *, over_announced: bool = False) -> set[str]:
        """Return the names of others, without those of merely announced ones if they are to give way."""
        ours = self._servers
        return {
            backend.name.casefold()
            for backend in self._registry.snapshot.backends.values()
            if backend.id != own_id
            and not (over_announced and backend.id in ours and ours[backend.id].announced)
        }

    def _new_id(self, target: Target) -> str:
        if target.sighting.server_id:
            base = _by_server_id(target.sighting.server_id)
        else:
            host = "127.0.0.1" if target.place[0] == THIS_COMPUTER else target.place[0]
            base = f"found-{re.sub(r'[^A-Za-z0-9.]', '-', host)}-{target.place[1]}"
        taken, number, free = self._registry.snapshot.backends, 1, base
        while free in self._servers or (free in taken and not _left_behind(taken[free], target)):
            number += 1
            free = f"{base}-{number}"
        return free

    def _remember(self, spec: BackendSpec, suggested: str) -> None:
        self._names.pop(spec.id, None)
        self._names[spec.id] = suggested, spec.name
        if len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]


def _left_behind(backend: Backend, target: Target) -> bool:
    """Tell whether an earlier discovery found just this, and was ended since."""
    return backend.spec.source not in CONFIGURED and backend.spec.origin == target.origin


def _by_server_id(server_id: str) -> str:
    if _PLAIN_ID.fullmatch(server_id):
        return f"found-{server_id}"
    return f"found-{hashlib.blake2s(server_id.encode(), digest_size=8).hexdigest()}"


def _suggested(sightings: Iterable[Sighting], target: Target, verdict: Verdict) -> str:
    """Return the best readable name: one that was suggested, else what it is, else where."""
    ranked = sorted(sightings, key=lambda sighting: (RANKS.get(sighting.source, len(RANKS)), sighting.key))
    names = [target.sighting.name, *(sighting.name for sighting in ranked)]
    host = target.origin.host
    if target.sighting.source is DiscoverySource.PEER and address_of(host) is None:
        names.append(host.partition(".")[0])
    if verdict.type is not BackendType.GENERIC:
        names.append(verdict.type.value)
    otherwise = readable(f"{target.place[0]}-{target.place[1]}")[:MAX_LENGTH]
    return first_readable(names, otherwise)
