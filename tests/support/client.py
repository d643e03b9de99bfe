"""A client that shows a reply's very bytes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self

import httptools


@dataclass
class RawReply:
    """One reply as it came: ``complete`` tells whether its framing was kept to the end."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def events(self) -> list[str]:
        """Payloads of the data events."""
        lines = self.body.decode().replace("\r\n", "\n").split("\n")
        return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]


class _Collector:
    def __init__(self, reply: RawReply) -> None:
        self.reply = reply

    def on_header(self, name: bytes, value: bytes) -> None:
        self.reply.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self.reply.chunks.append(data)
        self.reply.body += data

    def on_message_complete(self) -> None:
        self.reply.complete = True


class RawClient:
    """One connection to a gateway, one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self._reply = RawReply()
        self._parser: httptools.HttpResponseParser | None = None

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        try:
            await self.writer.wait_closed()
        except OSError:
            return

    def leave(self) -> None:
        """Close as a client does that has lost interest."""
        self.writer.transport.abort()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] = b"",
        headers: dict[str, str] | None = None,
    ) -> None:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        lines = {"Host": "localhost", "Content-Length": str(len(data)), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items())
        self.writer.write(head.encode() + b"\r\n" + data)

    async def read_reply(self, *, until: int | None = None) -> RawReply:
        """Read one reply, or at least ``until`` bytes of its body; go on with one that was read in part."""
        if self._reply.complete or self._parser is None:
            self._reply = RawReply()
            self._parser = httptools.HttpResponseParser(_Collector(self._reply))
        reply, parser = self._reply, self._parser
        async with asyncio.timeout(30):
            while not reply.complete and (until is None or len(reply.body) < until):
                try:
                    data = await self.reader.read(65536)
                except ConnectionError:
                    break
                if not data:
                    break
                parser.feed_data(data)
                reply.status = parser.get_status_code()
        return reply
