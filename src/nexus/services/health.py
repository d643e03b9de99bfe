"""Health: asks every backend how it is and writes the answer into the registry.

Laws: a check costs the backend nothing; one slow or dead backend delays nobody, so each has a
task of its own; a transition is logged once with its reason, a repeating failure once and then
only counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nexus.domain import Backend, BackendStatus, replace
from nexus.observe.events import EventLog
from nexus.services.backend_watch import BackendWatch, HealthSettings, HealthTools
from nexus.tasks import TaskOwner

_log: Final = EventLog("health")

_UP: Final = frozenset({BackendStatus.HEALTHY, BackendStatus.LOADING})


class HealthService:
    """Keeps one watch for each registered backend and serves the registry's wishes.

    Args:
        tools: what all watches share.
        periodic: check at intervals; otherwise once, when somebody wishes, and until an
            unhealthy backend recovers.
    """

    def __init__(self, tools: HealthTools, *, periodic: bool) -> None:
        self._tools = tools
        self._periodic = periodic
        self._tasks = TaskOwner("health")
        self._watches: dict[str, tuple[BackendWatch, asyncio.Task[None]]] = {}
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Watch every registered backend from now on, and log what becomes of it, whoever saw it first."""
        self._unsubscribe = self._tools.registry.subscribe(_log_transition)
        for backend in self._tools.registry.snapshot.backends.values():
            self.watch(backend)
        self._tasks.spawn(self._serve_wishes(), "wishes")

    def watch(self, backend: Backend) -> BackendWatch:
        """Check ``backend`` now and from now on, until it leaves the registry.

        A backend that is watched already is asked from scratch: what was remembered of it may be
        of another server.
        """
        self.unwatch(backend.id)
        watch = BackendWatch(backend.id, self._tools, periodic=self._periodic)
        self._watches[backend.id] = (watch, self._tasks.spawn(self._run(watch, backend.id), backend.id))
        return watch

    def unwatch(self, backend_id: str) -> None:
        """Check a backend no longer, from now on; who waits for its first check waits no more."""
        entry = self._watches.pop(backend_id, None)
        if entry is not None:
            watch, task = entry
            # A task that never made a step has no end of its own.
            watch.checked.set()
            task.cancel()

    def reconfigure(self, settings: HealthSettings, *, periodic: bool) -> None:
        """Check by other rules from now on, every backend at once for a start."""
        self._tools = replace(self._tools, settings=settings)
        self._periodic = periodic
        for backend_id in tuple(self._watches):
            backend = self._tools.registry.get(backend_id)
            if backend is not None:
                self.watch(backend)

    def watching(self, backend_id: str) -> bool:
        """Tell whether a backend is being checked."""
        return backend_id in self._watches

    async def first_round(self) -> None:
        """Wait until every backend watched now has been checked once."""
        for watch, _ in tuple(self._watches.values()):
            await watch.checked.wait()

    async def close(self) -> None:
        """End every watch."""
        await self._tasks.close()
        self._watches.clear()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    async def _run(self, watch: BackendWatch, backend_id: str) -> None:
        try:
            await watch.run()
        finally:
            # However it ends, nobody may wait for it for ever.
            watch.checked.set()
            entry = self._watches.get(backend_id)
            if entry is not None and entry[0] is watch:
                del self._watches[backend_id]

    async def _serve_wishes(self) -> None:
        while True:
            wish = await self._tools.registry.next_wish()
            entry = self._watches.get(wish.backend_id)
            if entry is not None:
                entry[0].wake()


def _log_transition(was: Backend, backend: Backend) -> None:
    write = _log.info if backend.status in _UP else _log.warning
    write(
        f"backend is {backend.status}",
        backend=backend.name,
        was=str(was.status),
        reason=backend.reason,
        models=len(backend.models),
    )
