"""A listening socket that can refuse, hang and come back on the same port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from nexus.tasks import Clock

_BACKLOG: Final = 2048
_CONNECT_SECONDS: Final = 0.2


class Listener:
    """The port of a fake backend.

    A second socket, bound to the port and never listening, keeps it for this fake while nobody
    listens; Linux answers a connect to such a port with RST.

    Args:
        host: a loopback address.
        port: 0 picks a free one.
        clock: lets the loop run while sockets close.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self.host = host
        self.port = port
        self._clock = clock
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server: asyncio.Server | None = None
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
            if self._server is None:
                listener = self._bound()
                listener.listen(_BACKLOG)
                loop = asyncio.get_running_loop()
                self._server = await loop.create_server(factory, sock=listener, backlog=_BACKLOG)

    def refuse(self) -> None:
        """Close the listening socket; what waited in its queue is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Refuse from now on, and be sure of it (uvloop closes two rounds later)."""
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
