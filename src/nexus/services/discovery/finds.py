"""From sightings to backends: the one place that decides what a sighting means.

Laws held here: one server is one backend, however many services, interfaces, addresses or
sources tell of it; what was configured beats what was added by hand, which beats what was found;
nothing becomes a backend before an examination said that it serves; what goes and comes back
within the grace period is as if it had never gone; and no status is ever changed here, because
health decides who is alive: what comes or goes is only asked to be checked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from nexus.domain import Backend, BackendSpec, BackendStatus, DiscoverySource
from nexus.services.discovery.examiner import UP, Examiner
from nexus.services.discovery.groups import Group, Groups
from nexus.services.discovery.intake import Intake
from nexus.services.discovery.links import Mark
from nexus.services.discovery.lookups import Lookups
from nexus.services.discovery.places import Place, address_of, place_of
from nexus.services.discovery.pump import Pump
from nexus.services.discovery.roster import CONFIGURED, Roster
from nexus.services.discovery.servers import Server
from nexus.services.discovery.sightings import Sighting
from nexus.services.discovery.tools import FindsSettings, FindsTools


class Finds:
    """Makes backends of sightings; see ``sightings.Sightings`` for how sources report.

    Args:
        tools: what it works with.
        settings: what may be found.
    """

    def __init__(self, tools: FindsTools, settings: FindsSettings) -> None:
        self._tools = tools
        self._max_backends = settings.max_backends
        self._registry = tools.registry
        self._clock = tools.clock
        self._sightings: dict[str, Sighting] = {}
        self._claims: dict[str, BackendSpec] = {}
        self._servers: dict[int, Server] = {}
        self._numbers = itertools.count()
        self._groups = Groups()
        self._intake = Intake(settings.allow, settings.max_backends, tools.is_self)
        self._lookups = Lookups(tools.resolver, tools.clock, tools.tasks)
        self._roster = Roster(tools.registry, tools.register, tools.forget, settings.max_backends)
        self._examiner = Examiner(
            tools,
            self._roster,
            self._servers,
            self._sightings,
            barred=self._barred,
            prepare=self._resolve,
            vacant=self._fill,
            lost=self._lost,
        )
        self._pump = Pump(
            self._servers,
            tools.clock,
            tools.tasks,
            examine=self._examiner.examine,
            failed=self._examiner.silent,
            expire=self._expire,
            doubt=self._doubt,
            grace_seconds=settings.grace_period_seconds,
        )
        self._unsubscribe = tools.registry.subscribe(self._status_changed)

    def __len__(self) -> int:
        """Return how many sightings are followed."""
        return len(self._sightings)

    # --- what sources say ------------------------------------------------------------------

    def seen(self, sighting: Sighting) -> None:
        """See ``Sightings.seen``."""
        key = sighting.key
        accepted = self._intake.accepted(sighting)
        if accepted is None:
            self.gone(key)
            return
        server = self._groups.owner(key)
        if server is not None and server.gone_at is None and self._sightings[key] == accepted:
            return
        if server is None and self._intake.flooded(accepted, len(self._sightings)):
            return
        self._sightings[key] = accepted
        self._link(accepted)
        self._regroup({key}, fresh=key)
        self._pump.wake()

    def gone(self, key: str) -> None:
        """See ``Sightings.gone``."""
        server = self._groups.owner(key)
        if server is None or server.gone_at is not None:
            return
        self._doubt(server)
        if server.keys == {key} and server.registered:
            server.gone_at = self._clock.now()
            server.rest()
        else:
            rest = server.keys - {key}
            if self._sightings[key].source is DiscoverySource.LOCAL:
                # A port that closed may be another program's when it opens again.
                server.tried = frozenset()
            self._drop(key)
            if rest:
                self._regroup(rest)
            else:
                self._end(server)
        self._pump.wake()

    def claims_changed(self) -> None:
        """Take note that configured or manual backends were added, changed or removed.

        What they claim stops being a backend of its own; what they no longer claim may become one.
        """
        backends = self._registry.snapshot.backends.values()
        claims = {backend.id: backend.spec for backend in backends if backend.spec.source in CONFIGURED}
        self._roster.give_way()
        for backend_id in self._claims.keys() - claims.keys():
            self._groups.drop_claim(backend_id)
        self._claims = claims
        self._put_claims()
        self._regroup(self._sightings)
        self._pump.wake()

    async def settled(self) -> None:
        """Wait until everything sighted so far has been examined once."""
        await self._pump.idle.wait()

    def close(self) -> None:
        """Examine nothing any more. Backends stay as they are; the tasks' owner ends what runs."""
        self._unsubscribe()
        self._pump.close()

    # --- who is who ------------------------------------------------------------------------

    def _marks(self, server_id: str, addresses: Iterable[tuple[str, int]]) -> set[Mark]:
        marks: set[Mark] = {("id", server_id, 0)} if server_id else set()
        for host, port in addresses:
            for known in (host, *self._lookups.known(host)):
                marks.add(("at", *place_of(known, port, self._tools.is_own)))
        return marks

    def _link(self, sighting: Sighting) -> None:
        trusted = sighting.source is not DiscoverySource.MDNS
        marks = self._marks(sighting.server_id, sighting.addresses)
        self._groups.put(sighting.key, marks, trusted=trusted)

    def _put_claims(self) -> None:
        for backend_id, spec in self._claims.items():
            self._groups.put_claim(backend_id, self._marks("", ((spec.origin.host, spec.origin.port),)))

    async def _resolve(self, server: Server) -> None:
        """Look up the names by which ``server`` may be known: its own, and those of configured backends."""
        addresses = {at for key in server.keys for at in self._sightings[key].addresses}
        ports = {port for _, port in addresses}
        hosts = {host for host, _ in addresses}
        hosts |= {spec.origin.host for spec in self._claims.values() if spec.origin.port in ports}
        changed = await self._lookups.refresh(host for host in hosts if address_of(host) is None)
        if not changed:
            return
        for sighting in self._sightings.values():
            if any(host in changed for host, _ in sighting.addresses):
                self._link(sighting)
        self._put_claims()
        self._regroup(self._sightings)

    def _regroup(self, keys: Iterable[str], fresh: str = "") -> None:
        groups, merged = self._groups.again(keys)
        for server in merged:
            self._end(server, "it is the same server as another backend")
        for group in groups:
            self._settle(group, fresh)

    def _settle(self, group: Group, fresh: str) -> None:
        """Let a server have the sightings of ``group``, without those in their grace if there are others."""
        old = {key for key in group.keys - {fresh} if self._lingers(key)}
        live = group.keys - old
        if live:
            for key in old:
                self._drop(key)
        server = group.server
        if server is None:
            number = next(self._numbers)
            server = self._servers[number] = Server(number, self._clock.now())
        elif fresh not in live and server.keys == live and server.claimed == group.claim:
            if server.registered and live:
                self._examiner.plan(server)
            return
        self._groups.give(server, live or old)
        server.announced = all(self._sightings[key].source is DiscoverySource.MDNS for key in server.keys)
        if group.claim:
            self._yield_to(group.claim, server, fresh=fresh in live, live=bool(live))
        elif live:
            self._keep(server)

    def _barred(self, place: Place, server: Server) -> bool:
        holder = self._roster.at(place)
        return (holder is not None and holder is not server) or self._groups.belongs_elsewhere(
            place, server, trusted=True
        )

    def _lost(self, server: Server) -> None:
        """Give up the place of a server that has left it, and is not found anew, if another is there."""
        place = server.place
        if place is not None and self._groups.belongs_elsewhere(place, server, trusted=False):
            self._leave(server, "another server is there now")

    def _lingers(self, key: str) -> bool:
        owner = self._groups.owner(key)
        return owner is not None and owner.gone_at is not None

    def _yield_to(self, backend_id: str, server: Server, *, fresh: bool, live: bool) -> None:
        """Leave a server to the configured or manual backend that it is."""
        if fresh or server.claimed != backend_id:
            self._nudge(backend_id)
        server.claimed, server.gone_at, server.crowded = backend_id, None, False
        server.rest()
        self._leave(server, "it is configured")
        if not live:
            self._expire(server)

    def _keep(self, server: Server) -> None:
        """Follow a server that is sighted and that nobody claims."""
        if server.claimed:
            server.claimed, server.tried = "", frozenset()
        if server.gone_at is not None:
            server.gone_at = None
            if server.backend is not None:
                self._nudge(server.backend.id)
        self._examiner.plan(server)

    def _nudge(self, backend_id: str) -> None:
        backend = self._registry.get(backend_id)
        if backend is not None and backend.status not in UP:
            self._registry.wish_check(backend_id, "it was sighted")

    def _doubt(self, server: Server) -> None:
        """Have the backend that a sighting has left checked now: nobody may be using it and notice."""
        backend_id = server.claimed or (server.backend.id if server.backend is not None else "")
        backend = self._registry.get(backend_id)
        if backend is not None and backend.status in UP:
            self._registry.wish_check(backend_id, "it is sighted no more")

    def _status_changed(self, _: Backend, backend: Backend) -> None:
        if backend.status is BackendStatus.UNHEALTHY and self._examiner.down(backend):
            self._pump.wake()

    # --- how servers end -------------------------------------------------------------------

    def _drop(self, key: str) -> None:
        self._groups.drop(key)
        del self._sightings[key]

    def _expire(self, server: Server) -> None:
        self._end(server, "nothing has seen it since")
        for key in tuple(server.keys):
            self._drop(key)

    def _end(self, server: Server, why: str = "") -> None:
        server.rest()
        del self._servers[server.number]
        self._leave(server, why)

    def _leave(self, server: Server, why: str) -> None:
        self._roster.leave(server, why)
        self._fill()

    def _fill(self) -> None:
        """Let those that were kept out try again, as many as there is room for."""
        waiting = [server for server in self._servers.values() if server.crowded]
        for server in waiting[: max(0, self._max_backends - len(self._roster))]:
            server.crowded, server.due = False, self._clock.now()
            self._pump.wake()
