"""A cheap client: one keep-alive connection, replies with their framing's verdict, departures at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httptools


@dataclass(slots=True)
class Got:
    """What came of one request.

    Attributes:
        body: bytes of the body so far.
        complete: the framing was kept to the end.
        left: the client left before the end.
    """

    status: int = 0
    body: bytes = b""
    complete: bool = False
    left: bool = False


class Bodies:
    """Collects the bodies of the messages in a byte stream; 1xx replies have empty ones."""

    def __init__(self) -> None:
        self.pieces: list[list[bytes]] = []
        self.whole: list[bool] = []
        self.framed: list[bool] = []

    @property
    def complete(self) -> bool:
        """The last message is."""
        return bool(self.whole) and self.whole[-1]

    def on_message_begin(self) -> None:
        self.pieces.append([])
        self.whole.append(False)
        self.framed.append(False)

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self.framed[-1] = True

    def on_body(self, data: bytes) -> None:
        self.pieces[-1].append(data)

    def on_message_complete(self) -> None:
        self.whole[-1] = True


class ChaosClient(asyncio.Protocol):
    """One worker's connection; it is made anew after every end.

    Args:
        port: of the gateway.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._got = Got()
        self._pieces: list[bytes] = []
        self._size = 0
        self._leave_at: int | None = None
        self._ended: asyncio.Future[None] | None = None

    async def ask(
        self,
        request: bytes,
        *,
        leave: Callable[[ChaosClient], None] | None = None,
        leave_at: int | None = None,
    ) -> Got:
        """Send a request and wait for its reply, or for the departure.

        Args:
            request: head and body.
            leave: called after the request has left; may arrange for :meth:`depart`.
            leave_at: depart when that many bytes of the body have come.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        self._got, self._pieces, self._size = Got(), [], 0
        self._leave_at = leave_at
        self._ended = loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        assert self._transport is not None
        self._transport.write(request)
        if leave is not None:
            leave(self)
        await self._ended
        self._got.body = b"".join(self._pieces)
        return self._got

    def depart(self) -> None:
        """Leave, as a client does that has lost interest."""
        if self._ended is not None and not self._ended.done():
            self._got.left = True
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP transports are Transports

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._ended is None or self._ended.done():
            return
        self._parser.feed_data(data)
        if self._leave_at is not None and self._size >= self._leave_at:
            self.depart()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the framing tells
        self._transport = None
        self._end()

    # -- httptools

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._got.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        self._got.complete = True
        assert self._parser is not None
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self._end()
