"""Replies and events longer than what is held before the first byte."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.faults.rows import KINDS, SSE, Effect, Pair, asked, ends_in_one_error
from tests.support.gateway import Serve, chat_body

from nexus import testing
from nexus.testing import FakeFleet, FakeModel, Fault, Stage

# -- replies that are no streams

LONG = FakeModel("m", reply="All is well. " * 20_000)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault",
    [
        testing.CutStream(),
        testing.Stall(Stage.BODY),
        testing.BadChunk(),
        testing.Reset(Stage.BODY, at_byte=200_000),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_long_reply_that_breaks_is_cut_without_a_terminal_chunk(
    fleet: FakeFleet, start: Serve, kind: str, fault: Fault
) -> None:
    silent = isinstance(fault, testing.Stall)
    pair = await Pair.start(fleet, start, kind, "[timeouts]\nidle_seconds = 0.2\n" if silent else "")
    pair.bad.set_models([LONG])
    pair.bad.next(fault)
    async with pair.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", chat_body())
        reply = await client.read_reply()
        assert (reply.status, reply.complete) == (200, False)
        assert len(reply.body) > 65_536
        assert await client.reader.read() == b""
    assert b'"error"' not in reply.body
    assert not asked(pair.good)
    code = "upstream_timeout" if silent else "upstream_closed"
    assert (await pair.gateway.outcome()).error == code
    pair.shows(Effect.CHECK, code, counted=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_reply_comes_whole(fleet: FakeFleet, start: Serve, kind: str) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.set_models([LONG])
    for fault in (testing.Delay(0.0), testing.Http10(), testing.CompleteThenClose(), testing.Gzip()):
        pair.bad.next(fault)
        reply = await pair.gateway.chat()
        assert (reply.status, reply.complete) == (200, True), fault
    pair.shows(Effect.NOTHING, "", counted=False)


# -- events longer than what is held

HUGE = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 200_000 + b'"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def test_an_event_over_64_kb_is_relayed_verbatim(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(testing.Status(200, HUGE + END, content_type=SSE))
    reply = await pair.gateway.chat(stream=True)
    assert reply.body == HUGE + END
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("sent", [70_000, 150_000, 199_999])
async def test_a_cut_inside_an_event_over_64_kb_still_ends_in_a_whole_error_event(
    fleet: FakeFleet, start: Serve, sent: int
) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999999\r\n\r\n"
    pair.bad.next(testing.Garbage(head + HUGE[:sent]))
    reply = await pair.gateway.chat(stream=True)
    assert reply.complete
    assert reply.body.startswith(HUGE[:sent] + b"\n\n")
    assert json.loads(reply.events[-1])["error"]["code"] == "upstream_closed"
    assert not asked(pair.good)


async def test_a_cut_inside_an_event_under_64_kb_drops_the_piece(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    first = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999999\r\n\r\n"
    pair.bad.next(testing.Garbage(head + first + HUGE[:60_000]))
    reply = await pair.gateway.chat(stream=True)
    ends_in_one_error(reply, "upstream_closed")
    assert reply.body.startswith(first + b'data: {"error"')


async def test_pieces_of_events_wait_for_their_end(fleet: FakeFleet, start: Serve) -> None:
    """Every split of a stream leaves in whole events."""
    pair = await Pair.start(fleet, start, "llamacpp")
    pair.bad.next(testing.Drip(5))
    async with pair.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", chat_body(stream=True))
        reply = await client.read_reply()
    assert reply.complete
    gate = asyncio.Event()
    pair.bad.next(testing.Stall(Stage.BODY, at_event=1, release=gate))
    async with pair.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", chat_body(stream=True))
        first = await client.read_reply(until=1)
        assert first.body.endswith(b"\n\n")
        gate.set()
    assert reply.events[-1] == "[DONE]"
