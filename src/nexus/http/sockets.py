"""The count of sockets that are open, kept where they are opened and closed."""

from __future__ import annotations

import asyncio
import socket


class OpenSockets:
    """Opens and closes client sockets and knows how many are alive."""

    __slots__ = ("_empty", "count")

    def __init__(self) -> None:
        self.count = 0
        self._empty: asyncio.Event | None = None

    def open(self, family: int) -> socket.socket:
        """Return a new non-blocking TCP socket.

        Raises:
            OSError: the family is not there, or this process may open no more files.
        """
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setblocking(False)  # noqa: FBT003  # the standard library's own signature
        self.count += 1
        return sock

    def close(self, sock: socket.socket) -> None:
        """Close a socket that :meth:`open` made and no transport owns."""
        sock.close()
        self.gone()

    def gone(self) -> None:
        """A transport has closed its socket."""
        self.count -= 1
        if self._empty is not None and self.count == 0:
            self._empty.set()

    async def drained(self) -> None:
        """Return once no socket is open."""
        if self.count:
            self._empty = asyncio.Event()
            await self._empty.wait()
            self._empty = None
