"""A relay that keeps every byte that a backend sent, to be compared with what the client got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httptools
from tests.support.client import RawReply


class Recorder:
    """Listens on a port of its own and passes everything on.

    Attributes:
        port: where to connect.
        replies: bytes that came from the backend, one entry a connection.
        requests: bytes that went to it, one entry a connection.
        ended: set when the gateway has closed its side, one entry a connection.
    """

    def __init__(self) -> None:
        self.port = 0
        self.replies: list[bytearray] = []
        self.requests: list[bytearray] = []
        self.ended: list[asyncio.Event] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bodies(self, path: str) -> list[RawReply]:
        """Replies to POSTs of ``path``, in order, as they were on the wire."""
        found: list[RawReply] = []
        for sent, came in zip(self.requests, self.replies, strict=True):
            asked = _requests(bytes(sent))
            found += [
                reply
                for request, reply in zip(asked, _replies(bytes(came)), strict=False)
                if request.path == path
            ]
        return found

    def asked(self, path: str) -> list[bytes]:
        """Bodies of the POSTs to ``path``, in order."""
        requests = [request for sent in self.requests for request in _requests(bytes(sent))]
        return [request.body for request in requests if request.path == path]

    def connection(self, path: str) -> int:
        """The index of the newest connection that was asked for ``path``; -1 when none was."""
        found = [n for n, sent in enumerate(self.requests) if f"POST {path} ".encode() in sent]
        return found[-1] if found else -1


@dataclass
class _Request:
    path: str = ""
    body: bytes = b""


@asynccontextmanager
async def recording(host: str, port: int) -> AsyncIterator[Recorder]:
    """Record everything that passes to ``host:port``."""
    recorder = Recorder()
    pipes: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent, came = bytearray(), bytearray()
        recorder.requests.append(sent)
        recorder.replies.append(came)
        recorder.ended.append(ended := asyncio.Event())
        try:
            to_reader, to_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        both = {
            asyncio.create_task(_pipe(reader, to_writer, sent, ended)),
            asyncio.create_task(_pipe(to_reader, writer, came, asyncio.Event())),
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


async def _pipe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray, ended: asyncio.Event
) -> None:
    with suppress(ConnectionError):
        try:
            while data := await reader.read(65536):
                kept += data
                writer.write(data)
                await writer.drain()
        finally:
            ended.set()
        if writer.can_write_eof():
            writer.write_eof()
        return
    writer.transport.abort()


def _requests(data: bytes) -> list[_Request]:
    requests: list[_Request] = []

    class Collector:
        def on_message_begin(self) -> None:
            requests.append(_Request())

        def on_url(self, url: bytes) -> None:
            requests[-1].path += url.decode()

        def on_body(self, chunk: bytes) -> None:
            requests[-1].body += chunk

    httptools.HttpRequestParser(Collector()).feed_data(data)
    return requests


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
