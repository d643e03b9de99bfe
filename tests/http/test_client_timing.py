"""Four timeouts, and a reader slower than the writer."""

from __future__ import annotations

import asyncio

import pytest
from tests.http.peers import (
    Bench,
    Caller,
    Recorder,
    bench,
    deaf,
    on_both_loops,
    peer,
    replies,
    sockets,
    until,
)

from nexus.errors import (
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    UpstreamClosed,
    UpstreamError,
)
from nexus.http.client import Timeouts
from nexus.http.limits import UpstreamLimits

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@on_both_loops
async def test_connecting_has_its_own_timeout() -> None:
    with deaf() as origin:
        async with bench() as b:
            before = sockets()
            with pytest.raises(ConnectTimeout):
                await b.post(origin, timeouts=Timeouts(connect=0.05))
            assert b.client.open_sockets == 0
            assert sockets() == before


@on_both_loops
async def test_cancelling_while_connecting_closes_at_once() -> None:
    with deaf() as origin:
        async with bench() as b:
            running = asyncio.create_task(b.post(origin))
            await until(lambda: b.client.open_sockets == 1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert b.client.open_sockets == 0


@on_both_loops
async def test_waiting_for_a_place_ends() -> None:
    limits = UpstreamLimits(max_connections=1)
    async with peer(lambda caller: caller.gone()) as server, bench(limits=limits) as b:
        holding = asyncio.create_task(b.post(server.origin))
        await until(lambda: len(server.callers) == 1)
        with pytest.raises(ConnectTimeout):
            await b.post(server.origin, timeouts=Timeouts(first_byte=0.05))
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def expect(
    b: Bench, running: asyncio.Task[Recorder], error: type[UpstreamError], seconds: float
) -> None:
    """The running exchange lives until just before ``seconds`` from now, and then ends in ``error``."""
    b.clock.pass_time(seconds - 1)
    b.watch.sweep()
    await asyncio.sleep(0)
    assert not running.done()
    b.clock.pass_time(2)
    b.watch.sweep()
    with pytest.raises(error):
        await running
    await until(lambda: b.client.open_sockets == 0)


@on_both_loops
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", CHUNKED, CHUNKED + b"3\r\n: x\r\n"])
async def test_the_first_byte_has_its_own_timeout(sent: bytes) -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(sent)
        await caller.gone()

    async with peer(script) as server, bench() as b:
        seen = Recorder(begin=False)
        running = asyncio.create_task(b.post(server.origin, seen))
        await seen.left.wait()
        if sent.endswith(b": x\r\n"):
            await seen.heard.wait()
        await expect(b, running, FirstByteTimeout, 600)


@on_both_loops
async def test_comments_do_not_prolong_the_wait_for_the_first_byte() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED)
        while True:
            await caller.send(b"3\r\n: x\r\n")
            await caller.reader.readexactly(1)

    async with peer(script) as server, bench() as b:
        seen = Recorder(begin=False)
        running = asyncio.create_task(b.post(server.origin, seen))
        for comments in range(1, 6):
            await until(lambda comments=comments: len(seen.body) == 3 * comments)  # type: ignore[misc]
            b.clock.pass_time(100)
            b.watch.sweep()
            server.callers[0].reader.feed_data(b"!")
        await expect(b, running, FirstByteTimeout, 100)


@on_both_loops
async def test_each_chunk_buys_idle_time() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED)
        while True:
            await caller.send(b"3\r\n: x\r\n")
            await caller.reader.readexactly(1)

    async with peer(script) as server, bench() as b:
        seen = Recorder()
        running = asyncio.create_task(b.post(server.origin, seen))
        for chunks in range(1, 6):
            await until(lambda chunks=chunks: len(seen.body) == 3 * chunks)  # type: ignore[misc]
            b.clock.pass_time(100)
            b.watch.sweep()
            if chunks < 5:
                server.callers[0].reader.feed_data(b"!")
        await expect(b, running, IdleTimeout, 20)


@on_both_loops
async def test_the_total_time_is_off_unless_set() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED)
        while True:
            await caller.send(b"3\r\n: x\r\n")
            await caller.reader.readexactly(1)

    async with peer(script) as server, bench() as b:
        seen = Recorder()
        running = asyncio.create_task(b.post(server.origin, seen, timeouts=Timeouts(total=250)))
        for chunks in range(1, 3):
            await until(lambda chunks=chunks: len(seen.body) == 3 * chunks)  # type: ignore[misc]
            b.clock.pass_time(100)
            b.watch.sweep()
            server.callers[0].reader.feed_data(b"!")
        await until(lambda: len(seen.body) == 9)
        await expect(b, running, TotalTimeout, 50)


@on_both_loops
async def test_a_timeout_of_zero_is_off() -> None:
    async def script(caller: Caller) -> None:
        await caller.request()
        await caller.reader.readexactly(1)
        await caller.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await caller.gone()

    async with peer(script) as server, bench() as b:
        timeouts = Timeouts(connect=0, first_byte=0, idle=0, total=0)
        running = asyncio.create_task(b.post(server.origin, timeouts=timeouts))
        await until(lambda: bool(server.callers and server.callers[0].requests))
        b.clock.pass_time(1e6)
        b.watch.sweep()
        server.callers[0].reader.feed_data(b"!")
        assert (await running).body == b"{}"


class Slow(Recorder):
    """Pauses at the first bytes, and counts what still comes."""

    surplus = 0
    paused = False

    def data(self, chunk: bytes) -> None:
        super().data(chunk)
        if self.paused:
            self.surplus += len(chunk)
        elif self.flow is not None and len(self.chunks) == 1:
            self.paused = True
            self.flow.pause()


@on_both_loops
async def test_a_slow_reader_slows_the_writer() -> None:
    total = 64 * 1024 * 1024

    async def script(caller: Caller) -> None:
        await caller.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // 65536):
            await caller.send(bytes(65536))
        await caller.gone()

    async with peer(script) as server, bench() as b:
        seen = Slow()
        running = asyncio.create_task(b.post(server.origin, seen))
        await seen.heard.wait()
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert seen.surplus <= UpstreamLimits().stream_buffer
        assert server.callers[0].writer.transport.get_write_buffer_size() > 0
        # The client's slowness is not the backend's silence.
        b.clock.pass_time(500)
        b.watch.sweep()
        seen.paused = False
        assert seen.flow is not None
        seen.flow.resume()
        await running
        assert sum(map(len, seen.chunks)) == total
        assert b.client.idle(server.origin) == 1


class PausesAtTheSecond(Recorder):
    """Pauses when the second piece comes."""

    def data(self, chunk: bytes) -> None:
        super().data(chunk)
        if self.flow is not None and len(self.chunks) == 2:
            self.flow.pause()


@on_both_loops
async def test_bytes_that_bring_a_pause_buy_idle_time_too() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED)
        while True:
            await caller.send(b"3\r\n: x\r\n")
            await caller.reader.readexactly(1)

    async with peer(script) as server, bench() as b:
        seen = PausesAtTheSecond()
        running = asyncio.create_task(b.post(server.origin, seen))
        await until(lambda: len(seen.body) == 3)
        b.clock.pass_time(100)
        server.callers[0].reader.feed_data(b"!")
        await until(lambda: len(seen.body) == 6)
        assert seen.flow is not None
        seen.flow.resume()
        b.clock.pass_time(100)
        b.watch.sweep()
        server.callers[0].reader.feed_data(b"!")
        await until(lambda: len(seen.body) == 9)
        await expect(b, running, IdleTimeout, 120)


@on_both_loops
async def test_a_pause_with_the_last_bytes_does_not_outlive_the_exchange() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with peer(replies(ok)) as server, bench() as b:
        await b.post(server.origin, Slow())
        assert (await b.post(server.origin)).body == b"{}"
        assert len(server.callers) == 1


@on_both_loops
async def test_the_total_time_runs_on_while_paused() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED + b"2\r\nhi\r\n")
        await caller.gone()

    async with peer(script) as server, bench() as b:
        seen = Slow()
        running = asyncio.create_task(b.post(server.origin, seen, timeouts=Timeouts(total=300)))
        await seen.heard.wait()
        await expect(b, running, TotalTimeout, 300)


@on_both_loops
async def test_a_paused_exchange_can_be_aborted() -> None:
    async def script(caller: Caller) -> None:
        await caller.answer(CHUNKED + b"2\r\nhi\r\n")
        await caller.gone()

    async with peer(script) as server, bench() as b:
        seen = Slow()
        running = asyncio.create_task(b.post(server.origin, seen))
        await seen.heard.wait()
        assert seen.flow is not None
        seen.flow.abort(UpstreamClosed("enough"))
        with pytest.raises(UpstreamClosed, match="enough"):
            await running
        await until(lambda: b.client.open_sockets == 0)
