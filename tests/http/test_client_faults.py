"""The client against peers that break the rules: every exchange ends, completely or in an UpstreamError."""

from __future__ import annotations

import asyncio

import pytest
from tests.http.peers import (
    PATIENCE,
    Caller,
    Recorder,
    Script,
    bench,
    on_both_loops,
    once,
    peer,
    replies,
    sockets,
    until,
)

from nexus.errors import StaleConnection, UpstreamClosed, UpstreamError, UpstreamProtocolError
from nexus.http.limits import UpstreamLimits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def dying(*, after: bytes, reset: bool) -> Script:
    """Serve one request well; of the second, send ``after`` and die; later connections are sound."""

    async def script(caller: Caller) -> None:
        await caller.answer(OK)
        if caller.number == 0:
            await caller.answer(after)
            if reset:
                caller.reset()
            return
        await replies(OK)(caller)

    return script


@on_both_loops
@pytest.mark.parametrize("reset", [False, True])
async def test_a_stale_connection_is_replaced_once(reset: bool) -> None:
    async with peer(dying(after=b"", reset=reset)) as server, bench() as b:
        await b.post(server.origin)
        seen = await b.post(server.origin)
        assert (seen.connections, seen.heads, seen.body) == (2, 1, b"{}")
        assert len(server.callers) == 2


@on_both_loops
async def test_a_reused_connection_that_dies_after_a_byte_is_not_replaced() -> None:
    async with peer(dying(after=b"H", reset=False)) as server, bench() as b:
        await b.post(server.origin)
        seen = Recorder()
        with pytest.raises(UpstreamClosed):
            await b.post(server.origin, seen)
        assert (seen.connections, len(server.callers)) == (1, 1)


@on_both_loops
async def test_the_replacement_is_not_replaced() -> None:
    async def script(caller: Caller) -> None:
        if caller.number == 0:
            await caller.answer(OK)
        await caller.request()

    async with peer(script) as server, bench() as b:
        await b.post(server.origin)
        seen = Recorder()
        with pytest.raises(UpstreamClosed) as raised:
            await b.post(server.origin, seen)
        assert not isinstance(raised.value, StaleConnection)
        assert (seen.connections, len(server.callers)) == (2, 2)


@on_both_loops
@pytest.mark.parametrize("leave", [False, True])
async def test_an_early_reply_counts_and_its_connection_is_closed(leave: bool) -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"

    async def script(caller: Caller) -> None:
        await caller.reader.readuntil(b"\r\n\r\n")
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket transport has it
        await caller.send(refusal)
        if leave:
            return
        await asyncio.wait_for(asyncio.shield(answered.wait()), PATIENCE)

    answered = asyncio.Event()
    async with peer(script) as server, bench() as b:
        seen = await b.post(server.origin, body=bytes(32 * 1024 * 1024))
        assert (seen.status, seen.body) == (413, b"no")
        assert b.client.idle(server.origin) == 0
        answered.set()
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
@pytest.mark.parametrize("more", [b"x", OK, b"HTTP/1.1 200 OK\r\nContent-Le", b"0\r\n\r\n"])
@pytest.mark.parametrize("reply", [OK, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"])
async def test_an_over_long_reply_is_complete_but_not_pooled(reply: bytes, more: bytes) -> None:
    async with peer(replies(reply + more)) as server, bench() as b:
        seen = await b.post(server.origin)
        assert (seen.heads, seen.body, seen.late) == (1, b"{}", [])
        assert b.client.idle(server.origin) == 0


LIES = {
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, turned": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "a listed length": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
    "an endless length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
    "a coded transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "status 999": b"HTTP/1.1 999 Go Away\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 42": b"HTTP/1.1 42 Odd\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2 frames": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a NUL in a value": b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
}


@on_both_loops
@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_reply_is_a_protocol_error(lie: str) -> None:
    async with peer(replies(LIES[lie])) as server, bench() as b:
        seen = Recorder()
        with pytest.raises(UpstreamProtocolError):
            await b.post(server.origin, seen)
        await until(lambda: b.client.open_sockets == 0)
        assert seen.late == []


FLOODS = {
    "a head": (b"HTTP/1.1 200 OK\r\n", b"A: 0123456789012345678901234567890123456789\r\n" * 50),
    "a field name": (b"HTTP/1.1 200 OK\r\n", b"A" * 4096),
    "many fields": (b"HTTP/1.1 200 OK\r\n", b"A:b\r\n" * 50),
    "informational replies": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "empty lines": (b"", b"\r\n" * 2048),
    "a chunk extension": (CHUNKED + b"1;a=", b"b" * 4096),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n" * 500),
}


@on_both_loops
@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_without_a_body_is_bounded(flood: str) -> None:
    first, again = FLOODS[flood]

    async def script(caller: Caller) -> None:
        await caller.answer(first)
        for _ in range(4096):
            await caller.send(again)

    async with peer(script) as server, bench(limits=UpstreamLimits(head_bytes=16 * 1024)) as b:
        with pytest.raises(UpstreamProtocolError):
            await b.post(server.origin)


@on_both_loops
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "whole",
    [OK, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + OK],
    ids=["length", "chunked", "interim"],
)
async def test_a_reply_that_breaks_off_at_any_byte(whole: bytes, reset: bool) -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(whole[: cuts[caller.number]])
        if reset:
            caller.reset()

    cuts = list(range(len(whole)))
    async with peer(script) as server, bench() as b:
        for _ in cuts:
            seen = Recorder()
            with pytest.raises(UpstreamClosed):
                await b.post(server.origin, seen)
            assert b"{}".startswith(seen.body)
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
@pytest.mark.parametrize("taken", [0, 1, 20, 60])
async def test_a_reset_while_the_request_leaves(taken: int) -> None:
    async def script(caller: Caller) -> None:
        await caller.reader.readexactly(taken)
        caller.reset()

    async with peer(script) as server, bench() as b:
        with pytest.raises(UpstreamClosed):
            await b.post(server.origin, body=bytes(4 * 1024 * 1024))
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_a_reset_ends_a_body_without_length_badly() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(b"HTTP/1.1 200 OK\r\n\r\ndata")
        await until(lambda: bool(seen.chunks))
        caller.reset()

    seen = Recorder()
    async with peer(script) as server, bench() as b:
        with pytest.raises(UpstreamClosed) as raised:
            await b.post(server.origin, seen)
        assert isinstance(raised.value.__cause__, ConnectionError)


@on_both_loops
async def test_a_complete_reply_followed_by_a_reset_is_a_success() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(OK)
        caller.reset()

    async with peer(script) as server, bench() as b:
        for _ in range(10):
            assert (await b.post(server.origin)).body == b"{}"


@on_both_loops
async def test_a_peer_that_talks_first_is_not_believed() -> None:
    async def script(caller: Caller) -> None:
        await caller.send(OK)
        await replies(OK)(caller)

    async with peer(script) as server, bench() as b:
        for _ in range(10):
            seen = Recorder()
            try:
                await b.post(server.origin, seen)
            except UpstreamError:
                assert seen.heads == 0
        await b.client.close()


@on_both_loops
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", OK[:-2], CHUNKED + b"5\r\nhel"])
async def test_cancellation_leaves_no_socket_open(sent: bytes) -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(sent)
        arrived.set()
        await caller.gone()
        left.set()

    arrived, left = asyncio.Event(), asyncio.Event()
    async with peer(script) as server, bench() as b:
        before = sockets()
        seen = Recorder()
        running = asyncio.create_task(b.post(server.origin, seen))
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert b.client.idle(server.origin) == 0
        await asyncio.wait_for(left.wait(), PATIENCE)
        await until(lambda: b.client.open_sockets == 0 and sockets() <= before)
        assert seen.late == []


@on_both_loops
async def test_cancellation_at_every_turn_of_the_loop() -> None:
    async with peer(replies(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")) as server, bench() as b:
        before = sockets()
        for turns in range(60):
            running = asyncio.create_task(b.post(server.origin))
            for _ in range(turns // 2):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert b.client.open_sockets <= 60
            b.clock.pass_time(5)
            b.watch.sweep()
        await until(lambda: b.client.open_sockets == 0)
        await until(lambda: sockets() <= before)


@on_both_loops
async def test_cancelled_waiters_do_not_hold_places() -> None:
    async def script(caller: Caller) -> None:
        await caller.request()
        await asyncio.wait_for(asyncio.shield(free.wait()), PATIENCE)
        await caller.send(OK)
        await replies(OK)(caller)

    free = asyncio.Event()
    async with peer(script) as server, bench(limits=UpstreamLimits(max_connections=1)) as b:
        first = asyncio.create_task(b.post(server.origin))
        await until(lambda: len(server.callers) == 1)
        waiting = [asyncio.create_task(b.post(server.origin)) for _ in range(6)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        free.set()
        await first
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, Recorder) for result in done] == [False, True] * 3
        assert len(server.callers) == 1


@on_both_loops
async def test_two_hundred_breaking_exchanges_at_once() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(OK[: caller.number % len(OK)])

    async with peer(script) as server, bench() as b:
        done = await asyncio.gather(*(b.post(server.origin) for _ in range(200)), return_exceptions=True)
        assert all(isinstance(result, UpstreamClosed) for result in done)
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_closed_at_once() -> None:
    async with peer(once(b"")) as server, bench() as b:
        with pytest.raises(UpstreamClosed, match="before its reply"):
            await b.post(server.origin)
