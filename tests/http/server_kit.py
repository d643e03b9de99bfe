"""A server on a real socket with an application made of one function, and raw clients for it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nexus.errors import RequestError
from nexus.http.limits import ServerLimits
from nexus.http.server import HttpServer, Reply, Request
from nexus.tasks import DeadlineWatch, TaskOwner

Handler = Callable[[Request, Reply], Coroutine[Any, Any, None] | None]
TEXT = (b"Content-Type", b"text/plain")


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return 1_700_000_000.0 + self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"the server slept for {seconds}")


def refusal(error: RequestError) -> bytes:
    return json.dumps(
        {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    ).encode()


def echo(request: Request, reply: Reply) -> None:
    """Answer with the request's own facts."""
    facts = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "version": list(request.version),
        "body": request.body.decode("latin-1"),
    }
    reply.send(200, [(b"Content-Type", b"application/json")], json.dumps(facts).encode())


def allow(head: Request) -> None:
    assert head.body == b""


@dataclass
class App:
    handler: Handler = echo
    gate: Callable[[Request], None] = allow
    admitted: list[Request] = field(default_factory=list)
    handled: list[Request] = field(default_factory=list)

    def admit(self, head: Request) -> None:
        self.admitted.append(head)
        self.gate(head)

    def handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None] | None:
        self.handled.append(request)
        return self.handler(request, reply)


@dataclass
class Front:
    server: HttpServer
    app: App
    clock: ManualClock
    watch: DeadlineWatch
    tasks: TaskOwner
    address: tuple[str, int]

    def later(self, seconds: float) -> None:
        """Let time pass and everything that is due expire."""
        self.clock.seconds += seconds
        self.watch.sweep()

    async def settled(self) -> None:
        """Wait until no connection is left, and see that nothing of it is."""
        await until(lambda: self.server.connections == 0)
        await until(lambda: len(self.tasks) == 0)
        assert len(self.watch) == 0
        assert self.server.buffered == 0


@asynccontextmanager
async def serve(
    app: App | Handler = echo,
    limits: ServerLimits | None = None,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Front]:
    clock = ManualClock()
    watch = DeadlineWatch(clock)
    tasks = TaskOwner("test")
    app = app if isinstance(app, App) else App(app)
    server = HttpServer(app, limits or ServerLimits(), clock, watch, tasks, refusal)
    (address,) = await server.listen(host, 0, ssl=tls)
    front = Front(server, app, clock, watch, tasks, address)
    try:
        yield front
    finally:
        server.stop_listening()
        server.abort_all()
        await front.settled()
        await tasks.close()
        watch.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition``; the test's own timeout is the deadline."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # states without an event are watched
            await asyncio.sleep(0.001)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever was sent
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Client:
    """A connection that sends raw bytes and reads replies with a parser of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(60):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [line.split(": ", 1) for line in lines[1:-2]]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs)
        return int(status), headers

    async def chunk(self) -> bytes:
        async with asyncio.timeout(60):
            size = int(await self.reader.readline(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def answer(self, *, to_head: bool = False) -> Answer:
        status, headers = await self.head()
        body = b""
        if to_head or status in {100, 204, 304}:
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while piece := await self.chunk():
                body += piece
        elif "content-length" in headers:
            async with asyncio.timeout(60):
                body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.rest()
        return Answer(status, headers, body)

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(60):
            return await self.reader.read()

    async def leave(self) -> None:
        self.writer.close()
        await gone(self.writer)


async def gone(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.wait_closed()
    except OSError:
        return


@asynccontextmanager
async def connect(front: Front, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    host = "localhost" if tls is not None else front.address[0]
    reader, writer = await asyncio.open_connection(
        front.address[0], front.address[1], ssl=tls, server_hostname=host if tls else None
    )
    client = Client(reader, writer)
    try:
        yield client
    finally:
        await client.leave()


def get(path: str = "/", *lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/{version}", "Host: test", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")


def post(body: bytes, *lines: str, path: str = "/") -> bytes:
    return get(path, *lines, f"Content-Length: {len(body)}", method="POST") + body
