"""Keep-alive comments commit the reply: from then on a failure can only be told by an event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.faults.rows import KINDS, Effect, Pair, asked
from tests.support.client import RawReply
from tests.support.gateway import Serve, chat_body

from nexus import testing
from nexus.testing import FakeFleet, Fault

ON = "[server]\nsse_keepalive_seconds = 0.1\n"
COMMENT = b": keep-alive\n\n"


@dataclass(frozen=True)
class After(Fault):
    """Another fault once ``gate`` is set."""

    gate: asyncio.Event
    fault: Fault

    def steps(self, exchange: testing.Exchange) -> Iterator[testing.Step]:
        yield testing.Pause(self.gate)
        yield from self.fault.steps(exchange)


async def _after_a_comment(pair: Pair, fault: Fault) -> RawReply:
    gate = asyncio.Event()
    pair.bad.next(After(gate, fault))
    async with pair.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", chat_body(stream=True))
        assert (await client.read_reply(until=1)).body.startswith(COMMENT)
        gate.set()
        reply = await client.read_reply()
    assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    assert reply.header("x-nexus-backend") == "bad"
    return reply


@pytest.mark.parametrize("kind", KINDS)
async def test_the_stream_follows_the_comments_unchanged(fleet: FakeFleet, start: Serve, kind: str) -> None:
    pair = await Pair.start(fleet, start, kind, ON)
    reply = await _after_a_comment(pair, testing.Delay(0.0))
    assert reply.complete
    assert reply.events[-1] == "[DONE]"
    body = reply.body.replace(COMMENT, b"")
    assert body.startswith((b"data: {", b": "))
    assert all(json.loads(event) for event in reply.events[:-1])
    pair.shows(Effect.NOTHING, "", counted=False)


FAILURES: list[tuple[Fault, str]] = [
    (testing.ServerError(), "bad_gateway"),
    (testing.Reset(), "bad_gateway"),
    (testing.Busy(code=503), "service_unavailable"),
    (testing.Credentials(), "backend_credentials"),
    (testing.EmptyBody(), "bad_gateway"),
    (testing.ErrorEventFirst(), "bad_gateway"),
    (testing.Status(400), "bad_gateway"),
    (testing.ContextOverflow(), "bad_gateway"),
    (testing.Status(200, b'{"choices":[]}'), "bad_gateway"),
    (testing.Status(200, b'{"choices":["' + b"x" * 100_000 + b'"]}'), "bad_gateway"),
    (testing.Status(418, b"x" * 100_000), "bad_gateway"),
]


@pytest.mark.parametrize(
    ("fault", "code"), FAILURES, ids=[f"{at}-{row[0].kind}" for at, row in enumerate(FAILURES)]
)
async def test_a_failure_after_a_comment_is_one_event_and_no_second_backend(
    fleet: FakeFleet, start: Serve, fault: Fault, code: str
) -> None:
    pair = await Pair.start(fleet, start, "vllm", ON)
    reply = await _after_a_comment(pair, fault)
    assert reply.complete
    assert not reply.body.replace(COMMENT, b"").startswith(COMMENT)
    (event,) = reply.events
    assert json.loads(event)["error"]["code"] == code
    assert not asked(pair.good)
    assert (await pair.gateway.outcome()).error == code
    assert pair.gateway.at_rest()
