"""Clients that leave or take nothing: the upstream closes at once, the lease ends, nobody is blamed."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from collections.abc import Awaitable, Callable

import pytest
from tests.faults.rows import KINDS, Effect, Pair, asked
from tests.support.client import RawClient
from tests.support.gateway import Serve, chat_body

from nexus import testing
from nexus.testing import FakeFleet, FakeModel, Fault, Stage

AT_ONCE = 0.1
PATH = "/v1/chat/completions"

STAGES: dict[str, Fault] = {
    "before_head": testing.Stall(),
    "head": testing.Stall(Stage.HEAD),
    "after_head": testing.Stall(Stage.AFTER_HEAD),
    "body": testing.Stall(Stage.BODY, at_event=2),
}


async def _nobody_blamed(pair: Pair, number: int = 1) -> None:
    outcome = await pair.gateway.outcome(number)
    assert outcome.client_closed
    assert outcome.attempts[-1].failure == "client_closed"
    assert (outcome.error, outcome.backend) == ("client_closed", "bad")
    await pair.gateway.until(pair.gateway.at_rest)
    assert not asked(pair.good)
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_closes_the_upstream_at_once(
    fleet: FakeFleet, start: Serve, kind: str, stage: str, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(STAGES[stage])
    async with pair.gateway.client() as client:
        client.send("POST", PATH, chat_body(stream=stream))
        await pair.bad.wait_for_requests(1)
        if stage == "body" and stream:
            await client.reader.readuntil(b"data:")
        client.leave()
        await pair.bad.wait_for_departure()
    await _nobody_blamed(pair)
    outcome = await pair.gateway.outcome()
    assert outcome.status == (200 if stage == "body" and stream else 499)
    # Probes may rest in the pool; of this request nothing is left.
    await pair.bad.wait_until_idle()


@pytest.mark.parametrize("stage", STAGES)
async def test_at_once_is_within_a_tenth_of_a_second(fleet: FakeFleet, start: Serve, stage: str) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    took = []
    for number in range(1, 12):
        pair.bad.next(STAGES[stage])
        async with pair.gateway.client() as client:
            client.send("POST", PATH, chat_body(stream=True))
            await pair.bad.wait_for_requests(number)
            began = time.perf_counter()
            client.leave()
            await pair.bad.wait_for_departure(number)
            took.append(time.perf_counter() - began)
    assert statistics.median(took) < AT_ONCE, took


WAYS: dict[str, Callable[[RawClient], Awaitable[None]]] = {}


def _way(function: Callable[[RawClient], Awaitable[None]]) -> Callable[[RawClient], Awaitable[None]]:
    WAYS[function.__name__.removeprefix("_by_")] = function
    return function


@_way
async def _by_closing(client: RawClient) -> None:
    client.writer.close()


@_way
async def _by_half_closing(client: RawClient) -> None:
    client.writer.write_eof()


@_way
async def _by_a_reset(client: RawClient) -> None:
    linger = client.writer.get_extra_info("socket")
    linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.writer.transport.abort()


@_way
async def _by_closing_after_pipelining(client: RawClient) -> None:
    client.send("POST", PATH, chat_body())
    await client.writer.drain()
    client.writer.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
async def test_every_way_of_leaving_is_noticed(fleet: FakeFleet, start: Serve, way: str, stage: str) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(STAGES[stage])
    async with pair.gateway.client() as client:
        client.send("POST", PATH, chat_body(stream=True))
        await pair.bad.wait_for_requests(1)
        await WAYS[way](client)
        await pair.bad.wait_for_departure()
        await _nobody_blamed(pair)
    assert asked(pair.bad) == 1, "what was pipelined by one who left is not run"


async def test_leaving_while_the_backend_is_being_connected(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    await pair.bad.ignore_connects()
    async with pair.gateway.client() as client:
        client.send("POST", PATH, chat_body())
        await pair.gateway.until(lambda: bool(pair.gateway.nexus.exchanges.running))
        await pair.gateway.until(lambda: pair.gateway.nexus.client.open_sockets > 0)
        client.leave()
        outcome = await pair.gateway.outcome()
    assert (outcome.attempts[0].failure, outcome.attempts[0].sent) == ("client_closed", False)
    await pair.gateway.until(lambda: not pair.gateway.nexus.client.open_sockets)
    pair.shows(Effect.NOTHING, "", counted=False)


async def test_leaving_before_the_request_is_whole_starts_nothing(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    whole = json.dumps(chat_body()).encode()
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(whole))
    for sent in (head[:20], head, head + whole[:-1]):
        async with pair.gateway.client() as client:
            client.writer.write(sent)
            await client.writer.drain()
            client.leave()
    await pair.gateway.until(lambda: not pair.gateway.nexus._server.connections)
    assert not pair.gateway.outcomes
    assert not asked(pair.bad)


async def test_leaving_between_two_attempts_ends_the_second(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(testing.ServerError())
    pair.good.next(testing.Stall())
    async with pair.gateway.client() as client:
        client.send("POST", PATH, chat_body())
        await pair.good.wait_for_requests(1)
        client.leave()
        await pair.good.wait_for_departure()
        outcome = await pair.gateway.outcome()
    assert [attempt.failure for attempt in outcome.attempts] == ["server_error", "client_closed"]
    await pair.gateway.until(pair.gateway.at_rest)


async def test_many_leave_at_once(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.always(testing.Stall(Stage.BODY, at_event=1))
    clients = [await pair.gateway.client().__aenter__() for _ in range(50)]
    for at, client in enumerate(clients):
        client.send("POST", PATH, chat_body(stream=at % 2 == 0))
    await pair.bad.wait_for_requests(50)
    for client in clients:
        client.leave()
    await pair.bad.wait_for_departure(50)
    await pair.gateway.outcome(50)
    assert pair.gateway.at_rest()
    assert not pair.gateway.nexus.exchanges.running
    pair.shows(Effect.NOTHING, "", counted=False)


# -- slow clients

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 1000)
LONG = EVENT * 12_000
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def _narrow(pair: Pair) -> RawClient:
    """A client whose kernel takes little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", pair.gateway.nexus.port))
    client = pair.gateway.client()
    client.reader, client.writer = await asyncio.open_connection(sock=sock, limit=65536)
    return client


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_takes_nothing_is_cut(fleet: FakeFleet, start: Serve, stream: bool) -> None:
    pair = await Pair.start(fleet, start, "vllm", "[timeouts]\nwrite_seconds = 0.2\nidle_seconds = 0.1\n")
    kind = "text/event-stream" if stream else "application/json"
    pair.bad.next(testing.Status(200, LONG + END, content_type=kind))
    client = await _narrow(pair)
    client.send("POST", PATH, chat_body(stream=stream))
    outcome = await pair.gateway.outcome()
    assert outcome.attempts[0].failure == "client_stalled"
    assert (outcome.client_closed, outcome.status) == (True, 200)
    await pair.bad.wait_for_departure()
    assert pair.gateway.at_rest()
    pair.shows(Effect.NOTHING, "", counted=False)
    client.leave()


async def test_a_slow_client_slows_its_own_upstream_and_nobody_else(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm", "[timeouts]\nidle_seconds = 0.3\n")
    pair.bad.next(testing.Status(200, LONG + END, content_type="text/event-stream"))
    client = await _narrow(pair)
    client.send("POST", PATH, chat_body(stream=True))
    await pair.bad.wait_for_requests(1)
    for _ in range(20):
        assert (await pair.gateway.chat(stream=True)).complete
    assert pair.bad.in_flight == 1, "still held back"
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    reply = await client.read_reply()
    assert (reply.body, reply.complete) == (LONG + END, True)
    pair.shows(Effect.NOTHING, "", counted=False)
    client.leave()


async def test_a_client_that_left_a_slow_reply_is_noticed(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(testing.Status(200, LONG + END, content_type="text/event-stream"))
    client = await _narrow(pair)
    client.send("POST", PATH, chat_body(stream=True))
    await client.reader.readuntil(b"data:")
    client.leave()
    await pair.bad.wait_for_departure()
    await _nobody_blamed(pair)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_of_one_long_text_comes_through_a_slow_reader(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, "ollama")
    pair.bad.set_models([FakeModel("m", reply="y" * 3_000_000)])
    client = await _narrow(pair)
    client.send("POST", PATH, chat_body(stream=stream))
    reply = await client.read_reply()
    assert (reply.status, reply.complete, reply.body.count(b"y") >= 3_000_000) == (200, True, True)
    client.leave()


async def test_leaving_while_waiting_for_a_place(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm", "[upstream]\nmax_connections = 1\n")
    gate = asyncio.Event()
    pair.bad.next(testing.Delay(event=gate))
    async with (
        pair.gateway.client() as first,
        pair.gateway.client() as second,
        pair.gateway.client() as third,
    ):
        first.send("POST", PATH, chat_body())
        await pair.bad.wait_for_requests(1)
        for client in (second, third):
            client.send("POST", PATH, chat_body())
        await pair.gateway.until(lambda: len(pair.gateway.nexus.exchanges.running) == 3)
        second.leave()
        assert (await pair.gateway.outcome()).client_closed
        gate.set()
        for client in (first, third):
            assert (await client.read_reply()).header("x-nexus-backend") == "bad"
    assert asked(pair.bad) == 2
    await pair.gateway.until(pair.gateway.at_rest)
    pair.shows(Effect.NOTHING, "", counted=False)
