"""Clients that leave, stall or talk out of turn, and handlers that fail."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.http.server_kit import TEXT, App, Client, Front, connect, get, post, serve, until

from nexus.errors import BadGateway
from nexus.http.limits import ServerLimits
from nexus.http.server import Reply, Request


@dataclass
class Noted:
    """Notes what a reply tells."""

    path: str
    events: list[str]

    def departed(self) -> None:
        self.events.append(f"departed {self.path}")

    def stalled(self) -> None:
        self.events.append(f"stalled {self.path}")

    def pause(self) -> None:
        self.events.append(f"pause {self.path}")

    def resume(self) -> None:
        self.events.append(f"resume {self.path}")


@dataclass
class Held:
    """A handler whose replies are driven by the test."""

    replies: list[Reply] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __call__(self, request: Request, reply: Reply) -> None:
        reply.watcher = reply.source = Noted(request.path, self.events)
        self.replies.append(reply)

    async def reply(self, number: int = 0) -> Reply:
        await until(lambda: len(self.replies) > number)
        return self.replies[number]


def half_close(client: Client) -> None:
    client.writer.write_eof()


def close(client: Client) -> None:
    client.writer.close()


def reset(client: Client) -> None:
    client.writer.transport.abort()


@pytest.mark.parametrize("leave", [half_close, close, reset])
@pytest.mark.parametrize("started", [False, True])
async def test_leaving_is_noticed_at_once_before_and_during_a_reply(
    leave: Callable[[Client], None], *, started: bool
) -> None:
    held = Held()
    async with serve(held) as front, connect(front) as client:
        await client.send(post(b"question"))
        reply = await held.reply()
        if started:
            reply.start(200, [TEXT], None)
            reply.write(b"part")
            await client.head()
        leave(client)
        await until(lambda: reply.departed)
        assert held.events == ["departed /"]
        reply.write(b"nobody reads this")
        reply.end()
        reply.abort()
        await front.settled()
        assert held.events == ["departed /"]


@pytest.mark.parametrize("leave", [half_close, close, reset])
async def test_a_client_that_pipelined_and_left_is_noticed(leave: Callable[[Client], None]) -> None:
    held = Held()
    async with serve(held) as front, connect(front) as client:
        await client.send(get("/1") + get("/2") + post(b"x" * 1000)[:-1])
        reply = await held.reply()
        leave(client)
        await until(lambda: reply.departed)
        await front.settled()
        assert held.events == ["departed /1"]
        assert len(held.replies) == 1


async def test_a_handler_without_a_departure_callback_is_cancelled() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_request: Request, _reply: Reply) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serve(wait) as front, connect(front) as client:
        await client.send(get())
        await started.wait()
        await client.leave()
        await asyncio.wait_for(cancelled.wait(), 20)
        await front.settled()


@pytest.mark.parametrize("stage", ["head", "body", "chunked", "idle"])
async def test_leaving_before_the_request_is_complete_leaves_nothing(stage: str) -> None:
    data = {
        "head": get()[:-2],
        "body": post(b"x" * 100)[:-1],
        "chunked": get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nab",
        "idle": b"",
    }[stage]
    async with serve() as front, connect(front) as client:
        await client.send(data)
        await until(lambda: front.server.connections == 1)
        await client.leave()
        await front.settled()
        assert not front.app.handled


async def test_a_synchronous_reply_reaches_a_client_that_half_closed() -> None:
    async with serve() as front, connect(front) as client:
        client.writer.write(get())
        client.writer.write_eof()
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
        await front.settled()


async def test_a_client_that_sends_on_after_its_last_reply_reads_it_and_is_not_kept_for_long() -> None:
    async with serve() as front, connect(front) as client:
        await client.send(get("/last", "Connection: close"))
        await until(lambda: bool(front.app.handled))
        for _ in range(20):
            await client.send(get("/too-late"))
            await asyncio.sleep(0)
        assert (await client.answer()).json["path"] == "/last"
        assert await client.rest() == b""
        assert [request.path for request in front.app.handled] == ["/last"]
        assert front.server.connections == 1
        front.later(ServerLimits().linger_seconds + 1)
        await front.settled()


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_garbage_while_a_reply_streams_never_gets_into_it(*, keep_alive: bool) -> None:
    held = Held()
    lines = () if keep_alive else ("Connection: close",)
    async with serve(held) as front, connect(front) as client:
        await client.send(get("/", *lines))
        reply = await held.reply()
        reply.start(200, [TEXT], None)
        reply.write(b"one")
        await client.send(b"\x00\xff garbage \r\n\r\n" * 100)
        await until(lambda: front.server.buffered > 0)
        reply.write(b"two")
        reply.end()
        assert (await client.answer()).body == b"onetwo"
        if keep_alive:
            answer = await client.answer()
            assert (answer.status, answer.code) == (400, "invalid_request_error")
        assert await client.rest() == b""
        await client.leave()
        await front.settled()


async def test_what_one_client_may_send_ahead_is_bounded() -> None:
    held = Held()
    limits = ServerLimits(pipelined_bytes=1000)
    requests = [post(b"%06d" % n + b"x" * 5000) for n in range(500)]
    async with serve(held, limits) as front, connect(front) as client:
        await client.send(get("/first"))
        reply = await held.reply()
        sending = asyncio.ensure_future(client.send(b"".join(requests)))
        (connection,) = front.server._context.connections
        await until(lambda: connection._reading_paused)
        assert front.server.buffered < 700_000
        reply.send(200, [TEXT], b"")
        await client.answer()
        for n in range(len(requests)):
            reply = await held.reply(n + 1)
            reply.send(200, [TEXT], b"%d" % n)
            assert (await client.answer()).body == b"%d" % n
        await sending
        assert front.server.buffered == 0
        assert [request.body[:6] for request in front.app.handled[1:]] == [b"%06d" % n for n in range(500)]


@dataclass
class Slow:
    """A client with a small window, so that writes to it pend early."""

    sock: socket.socket

    async def take(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        while size > 0:
            size -= len(await loop.sock_recv(self.sock, 65536))


async def slow_client(front: Front, request: bytes) -> Slow:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(0.0)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, front.address)
    await loop.sock_sendall(sock, request)
    return Slow(sock)


async def fill(held: Held, reply: Reply) -> int:
    """Write until the reply is told to pause; return the bytes written."""
    size = 0
    while "pause /" not in held.events:
        reply.write(b"x" * 16384)
        size += 16384
        await asyncio.sleep(0)
        assert size < 64_000_000
    return size


async def test_a_slow_reader_pauses_the_reply_and_resumes_it() -> None:
    held = Held()
    async with serve(held) as front:
        client = await slow_client(front, get())
        reply = await held.reply()
        reply.start(200, [TEXT], None)
        size = await fill(held, reply)
        front.later(59)
        await client.take(size)
        await until(lambda: held.events == ["pause /", "resume /"])
        reply.end()
        front.later(59)
        assert front.server.connections == 1
        client.sock.close()
        await front.settled()


async def test_a_client_that_takes_a_little_is_kept_and_one_that_takes_nothing_is_cut() -> None:
    held = Held()
    async with serve(held) as front:
        client = await slow_client(front, get())
        reply = await held.reply()
        reply.start(200, [TEXT], None)
        await fill(held, reply)
        reply.write(b"x" * 30_000_000)
        (connection,) = front.server._context.connections
        unsent = connection._transport.get_write_buffer_size()
        while connection._transport.get_write_buffer_size() == unsent:
            await client.take(16384)
            await asyncio.sleep(0)
        front.later(61)
        assert held.events == ["pause /"]
        front.later(61)
        assert held.events == ["pause /", "stalled /"]
        assert reply.departed
        reply.write(b"more")
        await front.settled()
        assert held.events == ["pause /", "stalled /"]
        client.sock.close()


async def test_an_ended_reply_that_nobody_takes_is_cut_too() -> None:
    def much(_request: Request, reply: Reply) -> None:
        reply.send(200, [TEXT], b"x" * 30_000_000)

    for lines in ((), ("Connection: close",)):
        async with serve(much) as front:
            client = await slow_client(front, get("/", *lines))
            await until(lambda front=front: len(front.app.handled) == 1)  # type: ignore[misc]
            front.later(76)
            front.later(76)
            await front.settled()
            client.sock.close()


async def test_a_client_that_owes_reads_gets_no_further_request_answered() -> None:
    def much(_request: Request, reply: Reply) -> None:
        reply.send(200, [TEXT], b"x" * 8_000_000)

    async with serve(much) as front:
        client = await slow_client(front, get() * 3)
        await until(lambda: len(front.app.handled) > 0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(front.app.handled) == 1
        await client.take(2 * 8_000_000)
        await until(lambda: len(front.app.handled) == 3)
        client.sock.close()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_failing_handler_is_500_and_the_connection_lives(
    caplog: pytest.LogCaptureFixture, *, asynchronous: bool
) -> None:
    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    def fail(request: Request, reply: Reply) -> object:
        if request.path == "/fine":
            reply.send(200, [TEXT], b"")
            return None
        if asynchronous:
            return fail_later()
        raise ZeroDivisionError

    async with serve(fail) as front, connect(front) as client:  # type: ignore[arg-type]  # a defect, on purpose
        answer = await client.ask(get())
        assert (answer.status, answer.code) == (500, "internal_error")
        assert "ZeroDivisionError" in caplog.text
        assert (await client.ask(get("/fine"))).status == 200


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_refusal_from_the_handler_is_its_answer(*, asynchronous: bool) -> None:
    async def refuse_later() -> None:
        raise BadGateway("nobody home", headers=(("Retry-After", "2"),))

    def refuse(_request: Request, _reply: Reply) -> object:
        if asynchronous:
            return refuse_later()
        raise BadGateway("nobody home", headers=(("Retry-After", "2"),))

    async with serve(refuse) as front, connect(front) as client:  # type: ignore[arg-type]  # both kinds at once
        for _ in range(2):
            answer = await client.ask(get())
            assert (answer.status, answer.code) == (502, "bad_gateway")
            assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize("fault", ["raise", "return"])
async def test_a_handler_that_fails_after_the_start_cuts_the_connection(
    caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    async def fail(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], None)
        reply.write(b"part")
        await asyncio.sleep(0)
        if fault == "raise":
            raise ZeroDivisionError

    async with serve(fail) as front, connect(front) as client:
        await client.send(get())
        await client.head()
        assert await client.chunk() == b"part"
        assert await client.rest() == b""
        await front.settled()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_cancelled_handler_cuts_the_connection() -> None:
    async def wait(_request: Request, _reply: Reply) -> None:
        await asyncio.Event().wait()

    async with serve(wait) as front, connect(front) as client:
        await client.send(get())
        await until(lambda: len(front.app.handled) == 1)
        assert await front.tasks.close() == 1
        assert await client.rest() == b""


async def test_close_idle_leaves_requests_alone_and_abort_all_does_not() -> None:
    held = Held()
    app = App(held)
    async with serve(app) as front, connect(front) as idle, connect(front) as busy:
        await busy.send(get("/busy"))
        reply = await held.reply()
        await until(lambda: front.server.connections == 2)
        front.server.close_idle()
        assert await idle.rest() == b""
        assert front.server.connections == 1
        front.server.abort_all()
        assert reply.departed
        assert held.events == ["departed /busy"]
        assert await busy.rest() == b""
        await front.settled()


async def test_a_reply_is_given_once() -> None:
    held = Held()
    async with serve(held) as front, connect(front) as client:
        await client.send(get())
        reply = await held.reply()
        reply.start(200, [TEXT], 3)
        with pytest.raises(RuntimeError, match="started before"):
            reply.send(200, [TEXT], b"")
        with pytest.raises(RuntimeError, match="longer than"):
            reply.write(b"four")
        reply.abort()
        assert await client.rest() == b""


async def test_a_body_that_arrives_while_writing_is_paused_is_taken_when_it_resumes() -> None:
    async with serve() as front, connect(front) as client:
        await client.send(post(b"0123456789")[:-5])
        await until(lambda: front.server.buffered == 5)
        (connection,) = front.server._context.connections
        connection.pause_writing()
        await client.send(b"56789" + get("/next"))
        await until(lambda: front.server.buffered > 10)
        connection.resume_writing()
        assert (await client.answer()).json["body"] == "0123456789"
        assert (await client.answer()).json["path"] == "/next"
