"""A relay that keeps every byte that a backend sent, to be compared with what the client got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httptools
from tests.support.client import RawReply


class Recorder:
    """Listens on a port of its own and passes everything on.

    Attributes:
        port: where to connect.
        replies: bytes that came from the backend, one entry a connection.
        requests: bytes that went to it, one entry a connection.
    """

    def __init__(self) -> None:
        self.port = 0
        self.replies: list[bytearray] = []
        self.requests: list[bytearray] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bodies(self, path: str) -> list[RawReply]:
        """Replies to POSTs of ``path``, in order, as they were on the wire."""
        found: list[RawReply] = []
        for sent, came in zip(self.requests, self.replies, strict=True):
            paths = _request_paths(bytes(sent))
            found += [
                reply for asked, reply in zip(paths, _replies(bytes(came)), strict=False) if asked == path
            ]
        return found


@asynccontextmanager
async def recording(host: str, port: int) -> AsyncIterator[Recorder]:
    """Record everything that passes to ``host:port``."""
    recorder = Recorder()
    pipes: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent, came = bytearray(), bytearray()
        recorder.requests.append(sent)
        recorder.replies.append(came)
        try:
            to_reader, to_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        both = {
            asyncio.create_task(_pipe(reader, to_writer, sent)),
            asyncio.create_task(_pipe(to_reader, writer, came)),
        }
        pipes.update(both)
        await asyncio.wait(both)
        for end in (writer, to_writer):
            end.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        for task in pipes:
            task.cancel()
        if pipes:
            await asyncio.wait(pipes)
        await server.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            kept += data
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        return
    writer.transport.abort()


def _request_paths(data: bytes) -> list[str]:
    paths: list[str] = []

    class Collector:
        def on_url(self, url: bytes) -> None:
            paths.append(url.decode())

    httptools.HttpRequestParser(Collector()).feed_data(data)
    return paths


def _replies(data: bytes) -> list[RawReply]:
    replies: list[RawReply] = []

    class Collector:
        def on_message_begin(self) -> None:
            replies.append(RawReply())

        def on_body(self, chunk: bytes) -> None:
            replies[-1].chunks.append(chunk)
            replies[-1].body += chunk

        def on_message_complete(self) -> None:
            replies[-1].complete = True

    httptools.HttpResponseParser(Collector()).feed_data(data)
    return replies
