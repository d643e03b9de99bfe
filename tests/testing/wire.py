"""Raw sockets and shapes of replies: what the tests of the fleet share."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from nexus.testing import FakeBackend
from nexus.testing.fixtures import RawReply, parse

DEADLINE = 10.0


class Client:
    """One connection that sends and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, backend: FakeBackend) -> Client:
        async with asyncio.timeout(DEADLINE):
            return cls(*await asyncio.open_connection(backend.host, backend.port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(mark)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readexactly(count)

    async def rest(self) -> tuple[bytes, str]:
        """Read to the end; say whether it was a FIN or an RST."""
        got = b""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    piece = await self.reader.read(65536)
                except ConnectionResetError:
                    return got, "rst"
                if not piece:
                    return got, "fin"
                got += piece

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionResetError):
            await self.writer.wait_closed()


def request(
    body: dict[str, Any] | bytes | None = None,
    path: str = "/v1/chat/completions",
    *,
    method: str | None = None,
    close: bool = True,
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body or b""
    lines = [f"{method or ('POST' if body is not None else 'GET')} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("Connection: close")
    if raw or body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def chat(model: str = "m", *, stream: bool = False, **more: object) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Say hi."}], **more}
    return {**body, "stream": True} if stream else body


async def raw(backend: FakeBackend, data: bytes) -> tuple[bytes, str]:
    """Send, read to the end."""
    client = await Client.to(backend)
    client.send(data)
    got = await client.rest()
    await client.leave()
    return got


async def ask(
    backend: FakeBackend,
    body: dict[str, Any] | bytes | None = None,
    path: str = "/v1/chat/completions",
    *,
    headers: tuple[tuple[str, str], ...] = (),
) -> RawReply:
    """Send one request on a connection of its own and parse the reply."""
    data, _ = await raw(backend, request(body, path, headers=headers))
    return parse(data)


def header(reply: RawReply, name: bytes) -> bytes | None:
    return next((value for key, value in reply.headers if key.lower() == name), None)


def shape(value: object) -> object:
    """Return keys and kinds, with the values left out; numbers and null are one kind."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        shapes: list[object] = []
        for item in map(shape, value):
            if item not in shapes:
                shapes.append(item)
        return shapes
    return "text" if isinstance(value, str) else "other"


def payloads(reply: RawReply) -> list[str]:
    """Return the data of each event of a stream, in order."""
    events = reply.body.decode().split("\n\n")
    return [line[5:].strip() for event in events for line in event.split("\n") if line.startswith("data:")]


def event_shapes(reply: RawReply) -> list[Any]:
    """Return the shape of each event, runs of one shape once."""
    shapes: list[Any] = []
    for event in reply.body.decode().split("\n\n"):
        lines = [line for line in event.split("\n") if line]
        if not lines:
            continue
        data = "".join(line[5:].strip() for line in lines if line.startswith("data:"))
        name = next((line for line in lines if line.startswith(("event:", ":"))), "")
        one = (name, shape(json.loads(data)) if data.startswith("{") else data)
        if not shapes or shapes[-1] != one:
            shapes.append(one)
    return shapes


def text_of(reply: RawReply) -> str:
    """Return the text of a chat, streamed or not."""
    if reply.body.startswith(b"{"):
        return str(json.loads(reply.body)["choices"][0]["message"]["content"])
    found = ""
    for data in payloads(reply):
        if data.startswith("{"):
            for choice in json.loads(data).get("choices") or ():
                found += choice["delta"].get("content") or ""
    return found
