"""The client against peers that keep the rules, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.http.peers import Caller, Recorder, bench, on_both_loops, once, peer, replies, request_of, until

from nexus.domain import Origin
from nexus.errors import ResponseTooLarge, TotalTimeout, UpstreamClosed
from nexus.http.client import Timeouts, request_bytes
from nexus.http.limits import UpstreamLimits

CAPTURES = Path(__file__).parent.parent / "captures"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@on_both_loops
async def test_a_body_by_length_is_told_and_its_connection_rests() -> None:
    async with peer(replies(OK)) as server, bench() as b:
        seen = await b.post(server.origin)
        assert (seen.status, seen.body) == (200, b"{}")
        assert seen.headers == [(b"Content-Type", b"application/json"), (b"Content-Length", b"2")]
        assert b.client.idle(server.origin) == b.client.open_sockets == 1
        await b.post(server.origin)
        assert len(server.callers) == 1
        assert server.callers[0].requests == [request_of(server.origin, b"{}")] * 2


@on_both_loops
async def test_chunks_extensions_and_trailers() -> None:
    body = b"4;name=value\r\nwiki\r\nA\r\n0123456789\r\n0\r\nX-Trailer: dropped\r\n\r\n"
    async with peer(replies(CHUNKED + b"\r\n" + body, OK)) as server, bench() as b:
        seen = await b.post(server.origin)
        assert seen.chunks == [b"wiki", b"0123456789"]
        assert seen.headers == [(b"Transfer-Encoding", b"chunked")]
        assert (await b.post(server.origin)).body == b"{}"
        assert len(server.callers) == 1


@on_both_loops
async def test_a_head_that_ends_like_a_last_chunk_is_a_head() -> None:
    keep_alive = b"Keep-Alive: timeout=5, max=100\r\n\r\n"

    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED + keep_alive)
        await caller.reader.readexactly(1)
        await caller.send(b"2\r\nhi\r\n0\r\n\r\n")
        await caller.gone()

    async with peer(script) as server, bench() as b:
        seen = Recorder()
        running = asyncio.create_task(b.post(server.origin, seen))
        await until(lambda: seen.heads == 1)
        assert not running.done()
        server.callers[0].reader.feed_data(b"!")
        await running
        assert seen.body == b"hi"


@on_both_loops
async def test_a_body_without_length_ends_with_the_connection() -> None:
    async with peer(once(b"HTTP/1.0 200 OK\r\n\r\n: keepalive 0/17\n\ndata: x\n\n")) as server, bench() as b:
        seen = await b.post(server.origin)
        assert seen.body == b": keepalive 0/17\n\ndata: x\n\n"
        assert b.client.idle(server.origin) == 0


@on_both_loops
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=0\r\n\r\n",
    ],
)
async def test_what_says_so_is_not_pooled(head: bytes) -> None:
    async with peer(replies(head + b"{}")) as server, bench() as b:
        assert (await b.post(server.origin)).body == b"{}"
        assert b.client.idle(server.origin) == 0
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_informational_replies_are_skipped() -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with peer(replies(hints + OK)) as server, bench() as b:
        seen = await b.post(server.origin)
        assert (seen.heads, seen.status, len(seen.headers)) == (1, 200, 2)
        assert b.client.idle(server.origin) == 1


@on_both_loops
async def test_a_reply_dripped_byte_by_byte_to_a_request_taken_byte_by_byte() -> None:
    async def script(caller: Caller) -> None:
        for _ in range(len(request_of(server.origin, b"{}"))):
            await caller.reader.readexactly(1)
        for byte in OK:
            await caller.send(bytes([byte]))
            await asyncio.sleep(0)
        await caller.gone()

    async with peer(script) as server, bench() as b:
        assert (await b.post(server.origin)).body == b"{}"
        assert b.client.idle(server.origin) == 1


@on_both_loops
async def test_an_idle_connection_is_let_go_in_time() -> None:
    async with peer(replies(OK)) as server, bench() as b:
        await b.post(server.origin)
        b.clock.pass_time(3.5)
        b.watch.sweep()
        assert b.client.idle(server.origin) == 1
        b.clock.pass_time(0.6)
        b.watch.sweep()
        assert b.client.idle(server.origin) == 0
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_keep_alive_shortens_the_idle_time_and_is_honoured_before_the_sweep() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: max=9, timeout=2\r\n\r\n{}"
    async with peer(replies(head)) as server, bench() as b:
        await b.post(server.origin)
        b.clock.pass_time(1.6)
        await b.post(server.origin)
        assert len(server.callers) == 2


@on_both_loops
@pytest.mark.parametrize("last_word", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_bytes_or_an_end_on_an_idle_connection_drop_it(last_word: bytes) -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(OK)
        await until(lambda: b.client.idle(server.origin) == 1)
        if last_word:
            await caller.send(last_word)
            await caller.gone()

    async with peer(script) as server, bench() as b:
        await b.post(server.origin)
        await until(lambda: b.client.idle(server.origin) == 0)
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_the_latest_connection_is_used_first() -> None:
    async def script(caller: Caller) -> None:
        await caller.request()
        await until(lambda: len(server.callers) == 2)
        await caller.send(OK)
        while True:
            await caller.answer(OK)

    async with peer(script) as server, bench() as b:
        await asyncio.gather(b.post(server.origin), b.post(server.origin))
        assert b.client.idle(server.origin) == 2
        for _ in range(5):
            await b.post(server.origin)
        assert sorted(len(caller.requests) for caller in server.callers) == [1, 6]


@on_both_loops
async def test_max_connections_makes_callers_wait_in_order() -> None:
    order: list[int] = []

    async def numbered(origin: Origin, number: int) -> None:
        await b.post(origin)
        order.append(number)

    async with peer(replies(OK)) as server, bench(limits=UpstreamLimits(max_connections=2)) as b:
        await asyncio.gather(*(numbered(server.origin, number) for number in range(20)))
        assert order == list(range(20))
        assert len(server.callers) <= 2
        assert (await b.client.fetch(server.origin, "GET", "/", timeout=5)).status == 200


@on_both_loops
async def test_finish_ends_the_exchange_and_closes() -> None:
    class Satisfied(Recorder):
        def data(self, chunk: bytes) -> None:
            super().data(chunk)
            assert self.flow is not None
            self.flow.finish()

    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED + b"\r\n2\r\nhi\r\n2\r\nho\r\n")
        await caller.gone()

    async with peer(script) as server, bench() as b:
        seen = await b.post(server.origin, Satisfied())
        assert seen.chunks == [b"hi"]
        assert b.client.idle(server.origin) == 0
        assert seen.flow is not None
        seen.flow.pause()
        seen.flow.resume()
        seen.flow.first_byte()
        seen.flow.finish()
        seen.flow.abort(UpstreamClosed("too late"))
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_abort_ends_the_exchange_with_the_given_error() -> None:
    reason = UpstreamClosed("enough")
    async with peer(lambda caller: caller.gone()) as server, bench() as b:
        seen = Recorder()
        running = asyncio.create_task(b.post(server.origin, seen))
        await seen.left.wait()
        assert seen.flow is not None
        seen.flow.abort(reason)
        with pytest.raises(UpstreamClosed) as raised:
            await running
        assert raised.value is reason
        assert seen.late == []


@on_both_loops
@pytest.mark.parametrize("stage", ["connected", "head", "data"])
async def test_a_handler_that_fails_ends_its_exchange_with_its_own_error(stage: str) -> None:
    class Failing(Recorder):
        def _note(self, call: str) -> None:
            if call == stage:
                raise LookupError(stage)

    async with peer(replies(OK)) as server, bench() as b:
        with pytest.raises(LookupError):
            await b.post(server.origin, Failing())
        assert b.client.idle(server.origin) == 0
        await until(lambda: b.client.open_sockets == 0)


@on_both_loops
async def test_close_ends_a_running_exchange() -> None:
    async with peer(lambda caller: caller.gone()) as server, bench() as b:
        seen = Recorder()
        running = asyncio.create_task(b.post(server.origin, seen))
        await seen.left.wait()
        await b.client.close()
        with pytest.raises(UpstreamClosed):
            await running


@on_both_loops
async def test_fetch_returns_a_whole_reply() -> None:
    async with peer(replies(OK)) as server, bench() as b:
        got = await b.client.fetch(
            server.origin, "GET", "/v1/models", headers=[(b"Accept", b"*/*")], timeout=5
        )
        assert (got.status, got.body) == (200, b"{}")
        head = f"GET /v1/models HTTP/1.1\r\nHost: {server.origin.authority}\r\nAccept: */*\r\n\r\n"
        assert server.callers[0].requests == [head.encode()]
        assert b.client.idle(server.origin) == 1


@on_both_loops
async def test_fetch_takes_replies_without_a_body() -> None:
    async with peer(replies(b"HTTP/1.1 204 No Content\r\n\r\n")) as server, bench() as b:
        assert (await b.client.fetch(server.origin, "GET", "/", timeout=5)).status == 204
        assert b.client.idle(server.origin) == 1
    async with peer(replies(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")) as server, bench() as b:
        got = await b.client.fetch(server.origin, "HEAD", "/", timeout=5)
        assert (got.status, got.body) == (200, b"")
        assert b.client.idle(server.origin) == 0


@on_both_loops
async def test_fetch_bounds_size_and_time() -> None:
    async with peer(replies(OK)) as server, bench() as b:
        with pytest.raises(ResponseTooLarge):
            await b.client.fetch(server.origin, "GET", "/", timeout=5, max_bytes=1)
    async with peer(lambda caller: caller.gone()) as server, bench() as b:
        with pytest.raises(TotalTimeout):
            await b.client.fetch(server.origin, "GET", "/", timeout=0.05)


@on_both_loops
async def test_recorded_replies_come_through_whole() -> None:
    for capture in ["llamacpp-xllamacpp/anthropic-stream.resp", "ollama-0.9.3/chat-stream.resp"]:
        recorded = (CAPTURES / capture).read_bytes()
        async with peer(once(recorded)) as server, bench() as b:
            seen = await b.post(server.origin)
            assert seen.status == 200
            assert seen.body.startswith((b"data: ", b"event: "))
            assert seen.body.endswith(b"\n\n")


def test_a_request_is_written_in_one_piece() -> None:
    written = request_bytes("POST", b"/v1/x?y", b"h:1", [(b"Accept", b"*/*")], b"{}")
    assert written == b"POST /v1/x?y HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n{}"
    assert request_bytes("GET", b"/", b"h", []) == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert b"Content-Length: 0\r\n" in request_bytes("POST", b"/", b"h", [])
    assert Timeouts() == Timeouts(5, 600, 120, 0)
