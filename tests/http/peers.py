"""Scripted peers: servers that send exactly the bytes a test gives, and misbehave on demand."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from nexus.domain import Origin
from nexus.http.client import Flow, HttpClient, Timeouts, request_bytes
from nexus.http.limits import UpstreamLimits
from nexus.http.resolve import Resolver
from nexus.protocol.headers import FieldNames, Header
from nexus.stepping import run_stepped
from nexus.tasks import DeadlineWatch, SystemClock, TaskOwner

PATIENCE = 10.0


class Caller:
    """The peer's side of one accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.requests: list[bytes] = []

    async def request(self) -> bytes:
        """One request, head and body; raises IncompleteReadError when the client leaves."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        whole = head + await self.reader.readexactly(length)
        self.requests.append(whole)
        return whole

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, data: bytes) -> None:
        """Read one request, then send ``data``."""
        await self.request()
        await self.send(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return when the client has closed its side."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Caller], Awaitable[None]]


class Peer:
    """A server that runs ``script`` for each connection and then closes it."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._server: asyncio.Server | None = None
        self.callers: list[Caller] = []
        self.errors: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.origin = Origin("http", "127.0.0.1", 1)
        self.port = 1

    async def listen(self, host: str, context: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(self._accepted, host, 0, ssl=context, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        self.origin = Origin("https" if context else "http", host, self.port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for caller in self.callers:
            caller.writer.transport.abort()
        await asyncio.sleep(0)
        await self._server.wait_closed()
        assert not self.errors, self.errors

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(reader, writer, len(self.callers))
        self.callers.append(caller)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._script(caller)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001  # told when the peer closes
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()


@asynccontextmanager
async def peer(
    script: Script, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    server = Peer(script)
    await server.listen(host, context)
    try:
        yield server
    finally:
        await server.close()


def replies(*answers: bytes) -> Script:
    """Answer each request of a connection with the next of ``answers``, the last for ever."""

    async def script(caller: Caller) -> None:
        for turn in range(10**6):
            await caller.answer(answers[min(turn, len(answers) - 1)])

    return script


def once(answer: bytes) -> Script:
    """Answer one request and close."""

    async def script(caller: Caller) -> None:
        await caller.answer(answer)

    return script


class Recorder:
    """A handler that notes everything it is told."""

    def __init__(self, *, begin: bool = True) -> None:
        self.flow: Flow | None = None
        self.connections = 0
        self.status = 0
        self.heads = 0
        self.headers: list[Header] = []
        self.chunks: list[bytes] = []
        self.late: list[str] = []
        self.ended = False
        self.heard = asyncio.Event()
        self.left = asyncio.Event()
        self._begin = begin

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def connected(self, flow: Flow) -> None:
        self._note("connected")
        self.connections += 1
        self.flow = flow
        self.left.set()

    def head(self, status: int, headers: list[Header], names: FieldNames) -> None:  # noqa: ARG002  # the form of a handler
        self._note("head")
        self.heads += 1
        self.status, self.headers = status, headers

    def data(self, chunk: bytes) -> None:
        self._note("data")
        self.chunks.append(chunk)
        if self._begin and self.flow is not None:
            self.flow.first_byte()
        self.heard.set()

    def _note(self, call: str) -> None:
        if self.ended:
            self.late.append(call)


class Bench:
    """A client with what it needs, and a way to use it."""

    def __init__(self, limits: UpstreamLimits, resolver: Resolver | None, environ: dict[str, str]) -> None:
        self.clock = ShiftedClock()
        self.watch = DeadlineWatch(self.clock)
        self.tasks = TaskOwner("test")
        self.client = HttpClient(
            clock=self.clock,
            watch=self.watch,
            tasks=self.tasks,
            limits=limits,
            resolver=resolver,
            environ=environ,
        )

    async def post(
        self,
        origin: Origin,
        handler: Recorder | None = None,
        *,
        body: bytes = b"{}",
        timeouts: Timeouts | None = None,
        method: str = "POST",
    ) -> Recorder:
        handler = handler or Recorder()
        request = request_bytes(method, b"/v1/x", origin.authority.encode(), [], body)
        try:
            await run_stepped(
                self.client.exchange(origin, request, handler, timeouts or Timeouts(), method=method)
            )
        finally:
            handler.ended = True
        return handler

    async def close(self) -> None:
        await asyncio.wait_for(self.client.close(), PATIENCE)
        await self.tasks.close()
        assert self.client.open_sockets == 0
        assert len(self.watch) == 0
        self.watch.close()


class ShiftedClock(SystemClock):
    """The machine's time, plus what a test adds."""

    __slots__ = ("shift",)

    def __init__(self) -> None:
        self.shift = 0.0

    def now(self) -> float:
        return SystemClock.now() + self.shift

    def pass_time(self, seconds: float) -> None:
        self.shift += seconds


@asynccontextmanager
async def bench(
    *,
    resolver: Resolver | None = None,
    environ: dict[str, str] | None = None,
    limits: UpstreamLimits | None = None,
) -> AsyncIterator[Bench]:
    made = Bench(limits or UpstreamLimits(), resolver, environ or {})
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return once ``condition`` holds; fail after ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "waited in vain"
        await asyncio.sleep(0.002)


def sockets() -> int:
    """How many sockets this process has open, by the kernel's own account."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def request_of(origin: Origin, body: bytes) -> bytes:
    """The bytes that :meth:`Bench.post` sends."""
    head = f"POST /v1/x HTTP/1.1\r\nHost: {origin.authority}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def deaf() -> Iterator[Origin]:
    """A listener whose queue is full: the kernel drops what asks for a connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        callers = [socket.socket() for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        try:
            yield Origin("http", "127.0.0.1", listener.getsockname()[1])
        finally:
            for caller in callers:
                caller.close()


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test twice: on asyncio's own loop and on uvloop."""

    def run(loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: object) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test(**fixtures))

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(parameters=[loop, *signature.parameters.values()])  # type: ignore[attr-defined]  # pytest reads it
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]  # marks of decorators below
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    marked: Callable[..., None] = pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)
    return marked
