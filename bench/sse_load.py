"""Many streams at once, every byte checked: ``python -m bench.sse_load JSON``.

Opens the streams evenly over some seconds, waits until all of them flow, reads CPU time, memory and
the number of events before and after a window, waits for the end, and prints one line of JSON. Each
stream must end on a message of the right length and checksum, or it is counted with its reason.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import sys
import zlib
from typing import Final, cast

import httptools
import msgspec
import uvloop

from bench import sse_chunks
from bench.configs import chat_request
from bench.processes import cpu_seconds, pss_bytes, rss_bytes

_GRACE: Final = 30.0


class Order(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        port: where the streams are asked for.
        pid: the process to watch.
        streams: how many.
        chunks: with content, in each.
        opening: seconds over which they are opened.
        window: seconds between the two readings.
        lasting: seconds that one stream takes at least.
    """

    port: int
    pid: int
    streams: int
    chunks: int
    opening: float
    window: float
    lasting: float


class Reading(msgspec.Struct, frozen=True):
    """The watched process at one moment, and what has come in by then."""

    time: float
    events: int
    flowing: int
    cpu_seconds: float
    rss_bytes: int
    pss_bytes: int


class Report(msgspec.Struct, frozen=True):
    """What became of the streams.

    Attributes:
        complete: streams with every byte.
        failures: reason to count.
        before: when nothing had been opened.
        first, last: the ends of the window.
    """

    complete: int
    failures: dict[str, int]
    before: Reading
    first: Reading
    last: Reading


class Crowd:
    """What all streams share.

    Args:
        order: what to do.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.request = chat_request(order.port, stream=True)
        self.expected = sse_chunks.fingerprint(order.chunks)
        self.events = 0
        self.flowing = 0
        self.ended = 0
        self.complete = 0
        self.failures: collections.Counter[str] = collections.Counter()
        self.all_flow = asyncio.Event()
        self.all_ended = asyncio.Event()

    def began(self) -> None:
        """A stream has its first event."""
        self.flowing += 1
        self._look()

    def end(self, reason: str) -> None:
        """A stream is over, and complete when there is no ``reason``."""
        self.ended += 1
        if reason:
            self.failures[reason] += 1
        else:
            self.complete += 1
        self._look()

    def read(self) -> Reading:
        """Return how things stand now."""
        pid = self.order.pid
        return Reading(
            asyncio.get_running_loop().time(),
            self.events,
            self.flowing - self.ended,
            cpu_seconds(pid),
            rss_bytes(pid),
            pss_bytes(pid),
        )

    def _look(self) -> None:
        if self.flowing + sum(self.failures.values()) >= self.order.streams:
            self.all_flow.set()
        if self.ended >= self.order.streams:
            self.all_ended.set()


class Stream(asyncio.Protocol):
    """One request and its stream."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._parser = httptools.HttpResponseParser(self)
        self._bytes = 0
        self._checksum = 0
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        """Parse; whatever is not HTTP ends the stream."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Say why, when it was too early."""
        self._end(f"connection lost: {exc}" if exc else "closed before the end")

    def on_headers_complete(self) -> None:
        """Only 200 will do."""
        if (status := self._parser.get_status_code()) != 200:
            self._end(f"status {status}")

    def on_body(self, body: bytes) -> None:
        """Count."""
        if not self._bytes:
            self._crowd.began()
        self._bytes += len(body)
        self._checksum = zlib.crc32(body, self._checksum)
        self._crowd.events += body.count(b"\n\n")

    def on_message_complete(self) -> None:
        """Compare with what was sent."""
        same = (self._bytes, self._checksum) == self._crowd.expected
        self._end("" if same else f"{self._bytes} bytes instead of {self._crowd.expected[0]}, or altered")

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._crowd.end(reason)
            self._transport.close()


async def _within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def run(order: Order) -> Report:
    """Do it."""
    loop = asyncio.get_running_loop()
    crowd = Crowd(order)
    before = crowd.read()
    start = loop.time()
    for number in range(order.streams):
        due = start + order.opening * number / order.streams
        if (wait := due - loop.time()) > 0.001:
            await asyncio.sleep(wait)
        try:
            await loop.create_connection(lambda: Stream(crowd), "127.0.0.1", order.port)
        except OSError as error:
            crowd.end(f"no connection: {error.strerror}")
    await _within(crowd.all_flow, _GRACE)
    first = crowd.read()
    await asyncio.sleep(order.window)
    last = crowd.read()
    await _within(crowd.all_ended, order.lasting + _GRACE)
    if crowd.ended < order.streams:
        crowd.failures["did not end"] += order.streams - crowd.ended
    return Report(crowd.complete, dict(crowd.failures), before, first, last)


if __name__ == "__main__":
    found = uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Order)))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
