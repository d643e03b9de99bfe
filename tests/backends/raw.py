"""Servers made of raw bytes: recordings, fixtures, and what is no inference server at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from nexus.testing.fixtures import raw

CAPTURES = Path(__file__).parent.parent / "captures"
MOST_SENT = 16 * 1024 * 1024


def captured(name: str) -> bytes:
    """The bytes that a real server sent: ``FOLDER/EXCHANGE``."""
    return (CAPTURES / f"{name}.resp").read_bytes()


def fixture(name: str) -> bytes:
    """The bytes of a fixture: ``SERVER/NAME``."""
    return raw(*name.split("/"))


def answer(body: str, status: str = "200 OK", kind: str = "application/json", *more: str) -> bytes:
    """A reply, written out."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body.encode())}", *more]
    return "\r\n".join([*head, "", body]).encode()


class RawServer:
    """Answers each request with bytes from a table, by path, and closes.

    Attributes:
        asked: method and target of each request, in order.
        sent: bytes that went out.
    """

    def __init__(self, replies: Mapping[str, bytes], default: bytes | None) -> None:
        self._replies = replies
        self._default = default
        self._held = asyncio.Event()
        self.asked: list[str] = []
        self.sent = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request's head and answer it, or hold it when there is no reply."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
            self.asked.append(f"{method} {target}")
            reply = self._replies.get(target, self._default)
            if reply is None:
                await self._held.wait()
            elif reply.endswith(b"\x00endless"):
                await self._endless(writer, reply.removesuffix(b"\x00endless"))
            else:
                writer.write(reply)
                self.sent += len(reply)
                await writer.drain()
        writer.close()

    async def _endless(self, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(head)
        while self.sent < MOST_SENT:
            writer.write(b" " * 65536)
            self.sent += 65536
            await writer.drain()

    def release(self) -> None:
        """Let go of every held request."""
        self._held.set()


@asynccontextmanager
async def serving(replies: Mapping[str, bytes], default: bytes | None) -> AsyncIterator[RawServer]:
    """Serve from a table on a random port; ``None`` as default never answers."""
    server = RawServer(replies, default)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.release()
        listener.close()
        await listener.wait_closed()
