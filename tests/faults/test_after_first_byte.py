"""The second failure table, row by row: each backend type; what cannot be undone is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.faults.rows import KINDS, Effect, Pair, asked, ends_in_one_error, error_events
from tests.support.gateway import Serve, chat_body

from nexus import testing
from nexus.domain import FailureKind
from nexus.testing import FakeFleet, Fault, Stage

NATIVE_MESSAGES = ("ollama", "vllm", "llamacpp", "lmstudio", "exo", "sglang", "localai")
NATIVE_RESPONSES = (*NATIVE_MESSAGES, "openai")


@dataclass(frozen=True)
class Row:
    """One way to break a stream after its second event."""

    fault: Fault
    code: str
    name: str = ""

    @property
    def id(self) -> str:
        return f"{self.fault.kind}{'-' if self.name else ''}{self.name}"


BREAKS = [
    Row(testing.CutStream(2), "upstream_closed"),
    Row(testing.Reset(Stage.BODY, at_byte=700), "upstream_closed"),
    Row(testing.BadChunk(2), "upstream_closed"),
    Row(testing.BadChunk(2, size=b"\x00\xff"), "upstream_closed", "binary"),
    Row(testing.EndWithoutDone(2), "upstream_incomplete"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", BREAKS, ids=lambda row: row.id)
async def test_a_stream_that_breaks(fleet: FakeFleet, start: Serve, kind: str, row: Row) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(row.fault)
    reply = await pair.gateway.chat(stream=True)
    ends_in_one_error(reply, row.code)
    assert len(reply.events) > 1
    assert reply.header("x-nexus-backend") == "bad"
    assert not asked(pair.good), "no second backend after the first byte"
    outcome = await pair.gateway.outcome()
    assert (outcome.error, outcome.status, outcome.streamed) == (row.code, 200, True)
    assert [attempt.failure for attempt in outcome.attempts] == [row.code]
    pair.shows(Effect.CHECK, row.code, counted=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_came_before_the_break_is_relayed_byte_for_byte(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    pair = await Pair.start(fleet, start, kind)
    whole = await pair.gateway.chat(stream=True)
    pair.bad.next(testing.CutStream(3))
    cut = await pair.gateway.chat(stream=True)
    relayed, _, _ = cut.body.rpartition(b"data: ")
    # Ids and dates differ from reply to reply: what is left after them does not.
    assert relayed.count(b"data: ") == 3
    assert relayed.endswith(b"\n\n")
    shapes = [sorted(json.loads(event)) for event in whole.events[:3]]
    assert [sorted(json.loads(event)) for event in cut.events[:3]] == shapes


@pytest.mark.parametrize("kind", KINDS)
async def test_each_type_dies_in_its_own_way(fleet: FakeFleet, start: Serve, kind: str) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.Death(2))
    reply = await pair.gateway.chat(stream=True)
    outcome = await pair.gateway.outcome()
    assert not asked(pair.good)
    if kind == "vllm":
        # Its engine says so itself, and sends [DONE]: relayed, nothing added.
        assert len(error_events(reply)) == 1
        assert reply.events[-1] == "[DONE]"
        assert outcome.attempts[0].failure == "error_event"
        return
    code = "upstream_incomplete" if kind == "ollama" else "upstream_closed"
    ends_in_one_error(reply, code)
    pair.shows(Effect.CHECK, code, counted=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_backends_own_error_event_is_relayed_and_nothing_added(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.ErrorEventMid(2))
    reply = await pair.gateway.chat(stream=True)
    assert (reply.status, reply.complete) == (200, True)
    assert len(error_events(reply)) == 1
    assert "upstream_" not in reply.body.decode()
    assert not asked(pair.good)
    outcome = await pair.gateway.outcome()
    assert outcome.attempts[0].failure == "error_event"
    pair.shows(Effect.CHECK, "error_event", counted=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", ["idle", "total"])
async def test_a_timeout(fleet: FakeFleet, start: Serve, kind: str, limit: str) -> None:
    pair = await Pair.start(fleet, start, kind, f"[timeouts]\n{limit}_seconds = 0.1\n")
    pair.bad.next(testing.Stall(Stage.BODY, at_event=2))
    reply = await pair.gateway.chat(stream=True)
    ends_in_one_error(reply, "upstream_timeout")
    await pair.bad.wait_for_departure()
    assert not asked(pair.good)
    failure = "upstream_timeout" if limit == "idle" else "total_timeout"
    assert (await pair.gateway.outcome()).attempts[0].failure == failure
    # How long a reply may take in all is the operator's wish, not the backend's fault.
    pair.shows(Effect.CHECK if limit == "idle" else Effect.NOTHING, failure, counted=limit == "idle")


async def test_comments_count_as_life(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "exo", "[timeouts]\nidle_seconds = 0.6\nfirst_byte_seconds = 30\n")
    body = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' + b": alive\n\n" * 12
    body += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    pair.bad.next(SlowStream(body, 0.1))
    reply = await pair.gateway.chat(stream=True)
    assert (reply.body, reply.complete) == (body, True)
    pair.shows(Effect.NOTHING, "", counted=False)


@dataclass(frozen=True)
class SlowStream(Fault):
    """Events of one's own, one every ``seconds``."""

    body: bytes
    seconds: float

    def steps(self, exchange: testing.Exchange) -> Iterator[testing.Step]:  # noqa: ARG002 - nothing of it is sent
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        for event in self.body.split(b"\n\n")[:-1]:
            yield b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event)
            yield testing.Pause(seconds=self.seconds)
        yield b"0\r\n\r\n"
        yield testing.End.KEEP


CUTS = {FailureKind.CANCELLED: "cancelled", FailureKind.SHUTTING_DOWN: "shutting_down"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cause", CUTS)
async def test_cut_by_an_operator_or_the_drain(
    fleet: FakeFleet, start: Serve, kind: str, cause: FailureKind
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.Stall(Stage.BODY, at_event=2))
    async with pair.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", chat_body(stream=True))
        await client.reader.readuntil(b"data:")
        assert pair.gateway.nexus.exchanges.cut_all(cause) == 1
        rest = await client.reader.readuntil(b"0\r\n\r\n")
        assert rest.count(b'"error"') == 1
        assert f'"code":"{CUTS[cause]}"'.encode() in rest
        await pair.bad.wait_for_departure()
        client.send("POST", "/v1/chat/completions", chat_body())
        assert (await client.read_reply()).status == 200, "the connection lives on"
    outcome = await pair.gateway.outcome()
    assert (outcome.error, outcome.attempts[0].failure) == (CUTS[cause], cause)
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cause", CUTS)
async def test_cut_before_the_first_byte_is_a_typed_error(
    fleet: FakeFleet, start: Serve, cause: FailureKind, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(testing.Stall())
    async with pair.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", chat_body(stream=stream))
        await pair.bad.wait_for_requests(1)
        pair.gateway.nexus.exchanges.cut_all(cause)
        reply = await client.read_reply()
    assert (reply.status, reply.error["code"]) == (503, CUTS[cause])
    await pair.bad.wait_for_departure()
    assert not asked(pair.good)
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("kind", NATIVE_MESSAGES)
async def test_a_broken_messages_stream_ends_as_its_clients_know_it(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.CutStream(2))
    body = {**chat_body(stream=True), "max_tokens": 16}
    reply = await pair.gateway.request("POST", "/v1/messages", body)
    assert reply.complete
    assert reply.body.count(b"event: error\n") == 1
    event = json.loads(reply.events[-1])
    assert (event["type"], event["error"]["code"]) == ("error", "upstream_closed")
    pair.shows(Effect.CHECK, "upstream_closed", counted=True)


@pytest.mark.parametrize("kind", NATIVE_RESPONSES)
async def test_a_broken_responses_stream_ends_as_its_clients_know_it(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.CutStream(2))
    body = {"model": "m", "input": "Hello", "stream": True}
    reply = await pair.gateway.request("POST", "/v1/responses", body)
    assert reply.complete
    assert reply.body.count(b"event: error\n") == 1
    event = json.loads(reply.events[-1])
    assert (event["type"], event["code"]) == ("error", "upstream_closed")
    pair.shows(Effect.CHECK, "upstream_closed", counted=True)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exo"])
async def test_a_broken_completions_stream(fleet: FakeFleet, start: Serve, kind: str) -> None:
    pair = await Pair.start(fleet, start, kind)
    body = {"model": "m", "prompt": "Hello", "stream": True}
    for fault, code in (
        (testing.CutStream(2), "upstream_closed"),
        (testing.EndWithoutDone(2), "upstream_incomplete"),
    ):
        pair.bad.next(fault)
        ends_in_one_error(await pair.gateway.request("POST", "/v1/completions", body), code)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault",
    [testing.CutStream(99), testing.Reset(Stage.BODY, at_byte=9**9), testing.BadChunk(99), testing.Short(9)],
    ids=lambda fault: fault.kind,
)
async def test_nothing_is_added_once_done_has_left(
    fleet: FakeFleet, start: Serve, kind: str, fault: Fault
) -> None:
    """A complete reply followed by a reset is a success, whether or not its framing said so."""
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(fault)
    reply = await pair.gateway.chat(stream=True)
    assert reply.complete
    assert reply.events[-1] == "[DONE]"
    assert not error_events(reply)
    outcome = await pair.gateway.outcome()
    assert (outcome.error, outcome.attempts[0].failure) == ("", None)
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("surface", ["messages", "responses"])
async def test_nothing_is_added_after_a_closing_event(fleet: FakeFleet, start: Serve, surface: str) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(testing.CutStream(99))
    body = {**chat_body(stream=True), "input": "Hello", "max_tokens": 16}
    reply = await pair.gateway.request("POST", f"/v1/{surface}", body)
    assert reply.complete
    assert b"event: error" not in reply.body
    pair.shows(Effect.NOTHING, "", counted=False)


async def test_nothing_is_added_to_the_backends_own_error_when_it_dies_of_it(
    fleet: FakeFleet, start: Serve
) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    content = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    error = b'data: {"error":{"message":"dead","type":"x"}}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"
    pair.bad.next(testing.Garbage(head + content + error))
    reply = await pair.gateway.chat(stream=True)
    assert (reply.body, reply.complete) == (content + error, True)
    pair.shows(Effect.CHECK, "error_event", counted=True)
