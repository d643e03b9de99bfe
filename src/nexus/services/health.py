"""Health: asks every backend how it is and writes the answer into the registry.

Laws: a check costs the backend nothing; one slow or dead backend delays nobody, so each has a
task of its own; a transition is logged once with its reason, a repeating failure once and then
only counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nexus.domain import Backend, BackendStatus
from nexus.observe.events import EventLog
from nexus.services.backend_watch import BackendWatch, HealthTools
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
        self._watches: dict[str, BackendWatch] = {}
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Watch every registered backend from now on, and log what becomes of it, whoever saw it first."""
        self._unsubscribe = self._tools.registry.subscribe(_log_transition)
        for backend in self._tools.registry.snapshot.backends.values():
            self.watch(backend)
        self._tasks.spawn(self._serve_wishes(), "wishes")

    def watch(self, backend: Backend) -> None:
        """Check ``backend`` now and from now on, until it leaves the registry."""
        watch = BackendWatch(backend.id, self._tools, periodic=self._periodic)
        self._watches[backend.id] = watch
        self._tasks.spawn(self._run(watch, backend.id), backend.id)

    def watching(self, backend_id: str) -> bool:
        """Tell whether a backend is being checked."""
        return backend_id in self._watches

    async def first_round(self) -> None:
        """Wait until every backend watched now has been checked once."""
        for watch in tuple(self._watches.values()):
            await watch.checked.wait()

    async def close(self) -> None:
        """End every watch."""
        await self._tasks.close()
        self._watches.clear()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    async def _run(self, watch: BackendWatch, backend_id: str) -> None:
        await watch.run()
        if self._watches.get(backend_id) is watch:
            del self._watches[backend_id]

    async def _serve_wishes(self) -> None:
        while True:
            wish = await self._tools.registry.next_wish()
            watch = self._watches.get(wish.backend_id)
            if watch is not None:
                watch.wake()


def _log_transition(was: Backend, backend: Backend) -> None:
    write = _log.info if backend.status in _UP else _log.warning
    write(
        f"backend is {backend.status}",
        backend=backend.name,
        was=str(was.status),
        reason=backend.reason,
        models=len(backend.models),
    )
