"""An upstream that streams: ``python -m bench.sse_upstream RATE CHUNKS PORT...``.

Every stream gets ``RATE`` chunks a second, each in one write, as inference servers send them. One timer
walks over slots of streams, so that chunks leave evenly spread over time.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import Iterator
from typing import Final, cast

import uvloop

from bench.configs import MODELS
from bench.sse_chunks import events

_TICK: Final = 0.002
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_MODELS: Final = (
    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(MODELS)}\r\n\r\n{MODELS}"
)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Wheel:
    """Sends the next chunk of every stream of one slot at each tick.

    Args:
        rate: chunks a second for each stream.
        chunks: with content, in a stream.
    """

    def __init__(self, rate: float, chunks: int) -> None:
        self.pieces = [_framed(piece) for piece in events(chunks)]
        self.pieces[-1] += b"0\r\n\r\n"
        self._slots: list[set[Peer]] = [set() for _ in range(max(1, round(1 / rate / _TICK)))]
        self._next: Iterator[set[Peer]] = itertools.cycle(self._slots)
        self._interval = 1 / rate / len(self._slots)
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._turn()

    def join(self, peer: Peer) -> set[Peer]:
        """Put a stream where the fewest are, and return that slot."""
        slot = min(self._slots, key=len)
        slot.add(peer)
        return slot

    def _turn(self) -> None:
        now = self._loop.time()
        while self._due <= now:
            self._due += self._interval
            for peer in tuple(next(self._next)):
                peer.send_next()
        self._loop.call_at(self._due, self._turn)


class Peer(asyncio.Protocol):
    """One connection; a request is complete when its length has come in."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._received = b""
        self._slot: set[Peer] | None = None
        self._pieces: Iterator[bytes] = iter(())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        """Forget the stream."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Answer when the request is complete."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        if head.startswith(b"GET "):
            self._transport.write(_MODELS.encode())
            if b"connection: close" in head.lower():
                self._transport.close()
            return
        self._transport.write(_HEAD)
        self._pieces = iter(self._wheel.pieces)
        self._slot = self._wheel.join(self)

    def send_next(self) -> None:
        """Send one chunk; the stream leaves the wheel after its last."""
        piece = next(self._pieces, None)
        if piece is None:
            self._leave()
        else:
            self._transport.write(piece)

    def _leave(self) -> None:
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(rate: float, chunks: int, ports: list[int]) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    wheel = Wheel(rate, chunks)
    for port in ports:
        await loop.create_server(lambda: Peer(wheel), "127.0.0.1", port, backlog=4096)
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1]), int(sys.argv[2]), [int(port) for port in sys.argv[3:]]))
