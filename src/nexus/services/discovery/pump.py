"""When servers are examined, and when their grace ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from nexus.services.discovery.alarm import Alarm
from nexus.services.discovery.servers import Server
from nexus.tasks import Clock, TaskOwner

AT_ONCE: Final = 8
AT_ONCE_ANNOUNCED: Final = 6
"""Of these, how many may be servers that only the network tells of: it cannot hold up this computer."""

DOUBT_SECONDS: Final = 2.0
"""After its last sighting until a server is doubted once more, and twice as long each time after that: who
says goodbye closes the door only afterwards, and still answers the check that its goodbye brings about."""


class Pump:
    """Examines what is due, a few servers at once, and ends what nobody sees any more.

    Changes made in one go are looked at together, in the next turn of the event loop.

    Args:
        servers: all of them, by number; read at every turn.
        clock: the time.
        tasks: owns examinations and the alarm.
        examine: examines one server.
        failed: told of a server whose examination raised.
        expire: told of a server whose grace is over.
        doubt: told now and then of a server in its grace.

    Attributes:
        grace_seconds: how long a server is kept after its last sighting.
        idle: set while nothing is due and nothing is being examined.
    """

    def __init__(
        self,
        servers: Mapping[int, Server],
        clock: Clock,
        tasks: TaskOwner,
        *,
        examine: Callable[[Server], Coroutine[Any, Any, None]],
        failed: Callable[[Server], None],
        expire: Callable[[Server], None],
        doubt: Callable[[Server], None],
        grace_seconds: float,
    ) -> None:
        self._servers = servers
        self._clock = clock
        self._tasks = tasks
        self._examine = examine
        self._failed = failed
        self._expire = expire
        self._doubt = doubt
        self._alarm = Alarm(clock, tasks, self.wake)
        self._turn: asyncio.Handle | None = None
        self._running: dict[asyncio.Task[Any], bool] = {}
        self._closed = False
        self.grace_seconds = grace_seconds
        self.idle = asyncio.Event()
        self.idle.set()

    def wake(self) -> None:
        """Look at all servers in the next turn."""
        if self._turn is None and not self._closed:
            self.idle.clear()
            self._turn = asyncio.get_running_loop().call_soon(self._look)

    def close(self) -> None:
        """Start nothing any more; what runs belongs to the tasks' owner."""
        self._closed = True
        self._alarm.cancel()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self.idle.set()

    def _look(self) -> None:
        self._turn = None
        now = self._clock.now()
        for server in [server for server in self._servers.values() if self._over(server, now)]:
            self._expire(server)
        gone = {server: server.gone_at for server in self._servers.values() if server.gone_at is not None}
        for server, since in gone.items():
            self._doubt_again(server, since, now)
        due = [server for server in self._servers.values() if server.due <= now and server.task is None]
        due.sort(key=lambda server: (server.announced, server.due, server.number))
        left = [server for server in due if not self._start(server)]
        later = [server.due for server in self._servers.values() if server.due > now]
        later += [min(since + self.grace_seconds, server.doubt_at) for server, since in gone.items()]
        if (at := min(later, default=math.inf)) < math.inf:
            self._alarm.set(at)
        if not left and not self._running:
            self.idle.set()

    def _over(self, server: Server, now: float) -> bool:
        return server.gone_at is not None and server.gone_at + self.grace_seconds <= now

    def _doubt_again(self, server: Server, since: float, now: float) -> None:
        if server.doubt_at < since:
            server.doubt_at = since + DOUBT_SECONDS
        elif server.doubt_at <= now:
            server.doubt_at = since + 2 * (now - since)
            self._doubt(server)

    def _start(self, server: Server) -> bool:
        announced = sum(self._running.values())
        if len(self._running) >= AT_ONCE or (server.announced and announced >= AT_ONCE_ANNOUNCED):
            return False
        server.due = math.inf
        server.task = task = self._tasks.spawn(self._examine(server), f"examine {server.number}")
        self._running[task] = server.announced
        task.add_done_callback(lambda task: self._ended(server, task))
        return True

    def _ended(self, server: Server, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if server.task is task:
            server.task = None
            if not task.cancelled() and task.exception() is not None:
                self._failed(server)
        self.wake()
