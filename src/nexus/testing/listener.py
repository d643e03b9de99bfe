"""A listening socket that can refuse, hang and come back on the same port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from nexus.tasks import Clock, TaskOwner

_BACKLOG: Final = 2048
_CONNECT_SECONDS: Final = 0.2


class Listener:
    """The port of a fake backend.

    A second socket, bound to the port and never listening, keeps it for this fake while nobody
    listens; Linux answers a connect to such a port with RST.

    It accepts by itself: a server of asyncio loses what it has just accepted when it is closed.

    Args:
        host: a loopback address.
        port: 0 picks a free one.
        clock: lets the loop run while sockets close.
        tasks: owns what makes connections of accepted sockets.
    """

    def __init__(self, host: str, port: int, clock: Clock, tasks: TaskOwner) -> None:
        self.host = host
        self.port = port
        self._clock = clock
        self._tasks = tasks
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening: socket.socket | None = None
        self._holder: socket.socket | None = None
        self._held: list[socket.socket] = []
        self._starting = asyncio.Lock()

    @property
    def url(self) -> str:
        """``http://host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Listen, making a protocol for each connection."""
        async with self._starting:
            self._let_go()
            if self._listening is None:
                self._listening = listening = self._bound()
                listening.listen(_BACKLOG)
                loop = asyncio.get_running_loop()
                loop.add_reader(listening.fileno(), self._accept, listening, factory)

    def refuse(self) -> None:
        """Close the listening socket; what waited in its queue is reset."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None

    async def stop(self) -> None:
        """Refuse from now on, and see what was accepted before become connections."""
        self.refuse()
        for _ in range(3):
            await self._clock.sleep(0)

    async def hang(self) -> None:
        """Listen with a full queue, so that the kernel drops every further SYN (Linux)."""
        await self.stop()
        listener = self._bound()
        listener.listen(0)
        self._held.append(listener)
        while await self._filler_connects():
            pass

    async def close(self) -> None:
        """Give the port up."""
        await self.stop()
        self._let_go()
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def _let_go(self) -> None:
        for held in self._held:
            held.close()
        self._held.clear()

    def _bound(self) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        bound.settimeout(0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((self.host, self.port))
        if self._holder is not None:
            return bound
        self._holder = bound
        self.port = int(bound.getsockname()[1])
        return self._bound()

    def _accept(self, listening: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            accepted.settimeout(0)
            loop = asyncio.get_running_loop()
            task = self._tasks.spawn(loop.connect_accepted_socket(factory, accepted), "accept")
            task.add_done_callback(partial(_close_if_cancelled, accepted))

    async def _filler_connects(self) -> bool:
        filler = socket.socket(self._family, socket.SOCK_STREAM)
        filler.settimeout(0)
        self._held.append(filler)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(filler, (self.host, self.port))
        except TimeoutError:
            return False
        return True


def _close_if_cancelled(accepted: socket.socket, task: asyncio.Task[Any]) -> None:
    """Close a socket whose task was ended before its first step."""
    if task.cancelled():
        accepted.close()
