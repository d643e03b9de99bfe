"""One accepted connection: reads requests, plays replies, notices when the client leaves."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, Final, Protocol, cast

import httptools

from nexus.testing.dialects import SURFACES
from nexus.testing.faults import Stall
from nexus.testing.faults.base import End, Pause, Step
from nexus.testing.fixtures import Header
from nexus.testing.models import RecordedRequest

_RESET_NOW: Final = struct.pack("ii", 1, 0)
_HIGH_WATER: Final = 64 * 1024
_SLICE: Final = 64 * 1024


class Owner(Protocol):
    """What a connection needs of its backend."""

    def opened(self, connection: Connection, transport: asyncio.Transport) -> Stall | None:
        """A connection was accepted; a stall leaves it unread."""
        ...

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        ...

    def begin(self, request: RecordedRequest, *, close: bool) -> Iterator[Step]:
        """A request is complete; its reply in steps."""
        ...

    def ended(self, *, departed: bool) -> None:
        """A reply ended, or its client left."""
        ...

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 on one socket, a request at a time.

    Args:
        owner: the backend.
        number: of the connection, from 1.
    """

    def __init__(self, owner: Owner, number: int) -> None:
        self.number = number
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[RecordedRequest, bool]] = deque()
        self._serving: RecordedRequest | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Event | None = None
        self._unread: bytes | None = None
        self._url = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read, unless a fault stalls the connection at once."""
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        stall = self._owner.opened(self, transport)
        if stall is not None:
            self._unread = b""
            self._task = self._owner.spawn(self._hold(stall), f"hold {self.number}")

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is not HTTP ends the connection."""
        if self._unread is not None:
            self._unread += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self.finish(End.FIN)

    def eof_received(self) -> bool:
        """Treat a half-close as leaving."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended is the client's affair
        """End what was running: the client left."""
        if self._task is not None:
            self._task.cancel()
        self._transport = None
        if self._serving is not None:
            self._serving = None
            self._owner.ended(departed=True)
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """Stop playing until the client reads on."""
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        """Play on."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    # -- httptools

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._url, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header line."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Invite a body that waits for it (RFC 9110 10.1.1)."""
        expects = any(name.lower() == b"expect" for name, _ in self._headers)
        if expects and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Queue the request; pipelined ones are served in order."""
        target = self._url.decode("latin-1")
        path, _, query = target.partition("?")
        request = RecordedRequest(
            self._parser.get_method().decode(),
            path,
            query,
            tuple(self._headers),
            b"".join(self._body),
            self.number,
            surface=SURFACES.get(path, ""),
        )
        self._waiting.append((request, not self._parser.should_keep_alive()))
        if self._serving is None:
            self._next()

    # -- playing

    @property
    def idle(self) -> bool:
        """Whether no request is being served."""
        return self._serving is None

    def finish(self, end: End) -> None:
        """Leave the connection as ``end`` says."""
        transport = self._transport
        if transport is None or end is End.KEEP:
            return
        if end is End.FIN:
            transport.close()
            return
        reset(transport)

    def _next(self) -> None:
        if not self._waiting or self._transport is None or self._transport.is_closing():
            return
        request, close = self._waiting.popleft()
        self._serving = request
        self._play(self._owner.begin(request, close=close), close=close)

    def _play(self, steps: Iterator[Step], *, close: bool) -> None:
        """Play what needs no waiting at once; the rest in a task."""
        for step in steps:
            if type(step) is bytes and len(step) <= _SLICE and self._writable is None:
                if self._transport is not None:
                    self._transport.write(step)
            elif type(step) is End:
                self._ended(step, close=close)
                return
            else:
                self._task = self._owner.spawn(
                    self._play_slowly(step, steps, close=close), f"play {self.number}"
                )
                return

    async def _play_slowly(self, step: Step | None, steps: Iterator[Step], *, close: bool) -> None:
        while step is not None and not isinstance(step, End):
            if isinstance(step, Pause):
                await self._wait(step)
            else:
                await self._write(step)
            step = next(steps, None)
        await self._drained()
        self._task = None
        self._ended(step or End.KEEP, close=close)

    async def _write(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE):
            await self._drained()
            if self._transport is not None:
                self._transport.write(data[at : at + _SLICE])

    async def _drained(self) -> None:
        if self._writable is not None:
            await self._writable.wait()

    async def _wait(self, pause: Pause) -> None:
        if pause.seconds is not None:
            await self._owner.sleep(pause.seconds)
        else:
            await (pause.event or asyncio.Event()).wait()

    async def _hold(self, stall: Stall) -> None:
        # uvloop begins to read after connection_made, so it can be stopped only now.
        if self._transport is not None:
            self._transport.pause_reading()
        await (stall.release or asyncio.Event()).wait()
        self._task = None
        unread, self._unread = self._unread, None
        if self._transport is not None:
            self._transport.resume_reading()
            self.data_received(unread or b"")

    def _ended(self, end: End, *, close: bool) -> None:
        if self._serving is not None:
            self._serving = None
            self._owner.ended(departed=False)
        self.finish(End.FIN if close and end is End.KEEP else end)
        self._next()


def reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN (``SO_LINGER`` of zero seconds, socket(7))."""
    handle = transport.get_extra_info("socket")
    if handle is not None and handle.fileno() >= 0:
        twin = socket.socket(fileno=os.dup(handle.fileno()))
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_NOW)
        twin.close()
    transport.abort()
