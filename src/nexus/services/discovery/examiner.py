"""Examines sighted servers and draws the conclusions."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from nexus.domain import Backend, BackendStatus
from nexus.services.discovery.asking import Answer, ask
from nexus.services.discovery.places import Place
from nexus.services.discovery.roster import Roster
from nexus.services.discovery.servers import Server, Target, targets, tried
from nexus.services.discovery.sightings import PORT_KEY, Sighting
from nexus.services.discovery.tools import FindsTools

REFUSED_SECONDS: Final = 60.0
"""Until a server that anything but an open port tells of is asked again though it serves nothing."""

BACKOFF_SECONDS: Final = 1.0
BACKOFF_CAP_SECONDS: Final = 60.0

UP: Final = frozenset({BackendStatus.HEALTHY, BackendStatus.LOADING})


class Examiner:
    """Asks servers, enters those that serve, and says when the others are asked again.

    Args:
        tools: what discovery works with.
        roster: takes those that serve.
        servers: all of them, by number.
        sightings: all of them, by key.
        barred: whether a place is another server's.
        prepare: finds out by which names a server is known; called before it is asked.
        vacant: called when a server turned out to need no place among the backends, or moved.
        lost: called when a server that has left its place was not found anew.
    """

    __slots__ = (
        "_barred",
        "_clock",
        "_lost",
        "_prepare",
        "_registry",
        "_roster",
        "_servers",
        "_sightings",
        "_tools",
        "_vacant",
    )

    def __init__(
        self,
        tools: FindsTools,
        roster: Roster,
        servers: Mapping[int, Server],
        sightings: Mapping[str, Sighting],
        *,
        barred: Callable[[Place, Server], bool],
        prepare: Callable[[Server], Awaitable[None]],
        vacant: Callable[[], None],
        lost: Callable[[Server], None],
    ) -> None:
        self._tools = tools
        self._registry = tools.registry
        self._clock = tools.clock
        self._roster = roster
        self._servers = servers
        self._sightings = sightings
        self._barred = barred
        self._prepare = prepare
        self._vacant = vacant
        self._lost = lost

    def ways(self, server: Server) -> list[Target]:
        """Return how to ask a server, where its backend is first."""
        spec = server.backend
        sightings = [self._sightings[key] for key in server.keys]
        all_ways = targets(sightings, self._tools.is_own, None if spec is None else spec.origin)
        ways = [way for way in all_ways if not self._barred(way.place, server)]
        if spec is not None:
            ways.sort(key=lambda way: way.origin != spec.origin)
        return ways

    def plan(self, server: Server) -> None:
        """Let a server whose sightings changed be examined if there is something to learn."""
        ways = self.ways(server)
        if server.backend is not None:
            if server.backend.origin not in [way.origin for way in ways]:
                server.due = self._clock.now()
        elif not server.tried or not tried(ways) <= server.tried:
            server.due, server.failures = self._clock.now(), 0

    def down(self, backend: Backend) -> bool:
        """Let a backend that went down be looked for at its other addresses; return whether it has any."""
        server = self._roster.server(backend.id)
        if server is None or server.gone_at is not None:
            return False
        if len({way.origin for way in self.ways(server)}) < 2:
            return False
        server.due = self._clock.now()
        return True

    async def examine(self, server: Server) -> None:
        """Ask a server, and enter, move or postpone it."""
        await self._prepare(server)
        if not self._askable(server):
            return
        server.due = math.inf
        ways = self.ways(server)
        if not ways:
            # Every place of it is another's still: it is its turn when one becomes free.
            server.crowded = not server.registered
            return
        answer = await ask(ways, lambda way: self._roster.draft(server, way), self._tools.examine)
        if self._askable(server):
            self._conclude(server, ways, answer)

    def silent(self, server: Server) -> None:
        """Ask a server again, later each time in a row."""
        pause = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2.0 ** min(server.failures, 10))
        server.failures += 1
        server.due = min(server.due, self._clock.now() + pause)

    def _askable(self, server: Server) -> bool:
        if server.number not in self._servers or server.claimed or server.gone_at is not None:
            return False
        if (spec := server.backend) is None:
            return True
        backend = self._registry.get(spec.id)
        sighted = spec.origin in [way.origin for way in self.ways(server)]
        return backend is not None and not (sighted and backend.status in UP)

    def _conclude(self, server: Server, ways: list[Target], answer: Answer) -> None:
        moved = server.backend is not None
        if not answer.answered:
            self.silent(server)
        elif answer.target is None or answer.verdict is None:
            server.failures, server.tried = 0, tried(ways)
            # A port that serves something else is left alone until it closes. Elsewhere nobody looks
            # at the port itself, and a proxy may answer for a server that is away.
            if server.registered or not all(key.startswith(PORT_KEY) for key in server.keys):
                server.due = min(server.due, self._clock.now() + REFUSED_SECONDS)
        elif answer.target.origin not in [way.origin for way in self.ways(server)]:
            server.due = self._clock.now()
        else:
            server.failures, server.tried, server.verdict = 0, tried(ways), answer.verdict
            sightings = [self._sightings[key] for key in server.keys]
            server.crowded = not self._roster.enter(server, answer.target, answer.verdict, sightings)
        if server.backend is not None and server.backend.origin not in [way.origin for way in ways]:
            self._lost(server)
        elif moved or not server.registered:
            self._vacant()
