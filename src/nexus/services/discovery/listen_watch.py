"""Notices within seconds that a port of this computer began or ceased to listen.

Laws: nobody is connected to for it; where the system tells slowly, it is asked less often; where
it does not tell at all, nothing runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from nexus.services.discovery.address_watch import Listeners
from nexus.tasks import Clock, TaskOwner

CHECK_SECONDS: Final = 2.0

MOST_OF_THE_TIME: Final = 0.001
"""The share of the time that checks may take before the pause after a slow one grows.

Asking Linux takes 0.06 ms; reading ``/proc/net/tcp`` instead takes 0.1 to 10 ms, by the size of
the kernel's table of connections.
"""


class ListenWatch:
    """Compares who listens now with who did, every ``CHECK_SECONDS``.

    Args:
        ports: the ports that matter.
        listeners: tells who listens; ``None`` where, or while, the system does not.
        clock: the time.
        longest_seconds: what a pause between two checks may grow to: all are looked at then anyway.
        changed: called with the ports whose listening sockets are not those of the last check.
    """

    def __init__(
        self,
        ports: Iterable[int],
        listeners: Callable[[], Listeners | None],
        clock: Clock,
        longest_seconds: float,
        changed: Callable[[frozenset[int]], None],
    ) -> None:
        self._ports = frozenset(ports)
        self._listeners = listeners
        self._clock = clock
        self._longest = max(CHECK_SECONDS, longest_seconds)
        self._changed = changed
        self._tasks = TaskOwner("listeners")

    def start(self) -> None:
        """Take note of who listens, and check from now on."""
        if self._ports and (now := self._usual()) is not None:
            self._tasks.spawn(self._run(now), "check")

    async def close(self) -> None:
        """Check no more."""
        await self._tasks.close()

    async def _run(self, before: Listeners) -> None:
        pause = CHECK_SECONDS
        while True:
            await self._clock.sleep(pause)
            began = self._clock.now()
            now = self._usual()
            took = self._clock.now() - began
            pause = min(max(CHECK_SECONDS, took / MOST_OF_THE_TIME), self._longest)
            if now is None:
                continue
            changed = frozenset(port for port in self._ports if now.get(port) != before.get(port))
            before = now
            if changed:
                self._changed(changed)

    def _usual(self) -> Listeners | None:
        listeners = self._listeners()
        if listeners is None:
            return None
        return {port: numbers for port, numbers in listeners.items() if port in self._ports}
