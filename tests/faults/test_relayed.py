"""What is not a failure: relayed as it came, by the backend that was asked first."""

from __future__ import annotations

import gzip

import pytest
from tests.faults.rows import KINDS, Effect, Pair, asked, served_by_the_other
from tests.support.gateway import Serve

from nexus import testing
from nexus.testing import FakeFleet, Fault


@pytest.mark.parametrize("stream", [False, True])
async def test_a_redirect_is_never_followed_nor_relayed(fleet: FakeFleet, start: Serve, stream: bool) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    elsewhere = await fleet.add("vllm", models=["m"])
    pair.bad.next(testing.Redirect(f"{elsewhere.url}/v1/chat/completions"))
    reply = await pair.gateway.chat(stream=stream)
    assert reply.header("location") is None
    assert not elsewhere.connections
    assert "redirects (307) to" in pair.model.rest_cause
    assert "correct its `url`" in pair.model.rest_cause


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_met_this_gateway_before_goes_elsewhere(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.next(testing.Status(508))
    served_by_the_other(await pair.gateway.chat(stream=stream), pair, stream=stream)
    assert (await pair.gateway.outcome()).attempts[0].failure == "loop"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("code", [400, 404, 413, 422, 499])
async def test_any_other_4xx_is_relayed_verbatim(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool, code: int
) -> None:
    pair = await Pair.start(fleet, start, kind)
    body = b'{ "error":{"message":"temperature: 9.50 is too hot","type":"x", "code" : 7} }\n'
    pair.bad.next(testing.Status(code, body, headers=(("x-request-id", "theirs"),)))
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.body, reply.complete) == (code, body, True)
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-request-id") == "theirs"
    assert reply.header("x-nexus-backend") == "bad"
    assert not asked(pair.good)
    assert (await pair.gateway.outcome()).attempts[0].failure == "client_error"
    pair.shows(Effect.NOTHING, "", counted=False)


SUCCESSES = [
    testing.OverLong(),
    testing.Http10(),
    testing.Interim((100, 102, 103)),
    testing.CompleteThenReset(),
    testing.CompleteThenClose(),
    testing.Headers((("Set-Cookie", "a=b"), ("Alt-Svc", "h3"))),
    testing.Drip(7),
    testing.Delay(0.01),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", SUCCESSES, ids=lambda fault: fault.kind)
async def test_what_is_merely_odd_is_a_success(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool, fault: Fault
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(fault)
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.complete, reply.header("x-nexus-backend")) == (200, True, "bad")
    assert b"bad answers as m" in reply.body or stream
    assert not stream or reply.events[-1] == "[DONE]"
    assert reply.header("set-cookie") is None
    assert reply.header("alt-svc") is None
    assert (await pair.gateway.outcome()).attempts[0].failure is None
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stale_pooled_connection_is_replaced_once_and_costs_nothing(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    pair = await Pair.start(fleet, start, kind, "[routing]\nmax_retries = 0\n")
    for stream in (False, True):
        pair.bad.next(testing.Delay(0.0))
        await pair.gateway.chat(stream=stream)
        pair.bad.next(testing.CloseSilently())
        number = len(pair.gateway.outcomes) + 1
        reply = await pair.gateway.chat(stream=stream)
        assert (reply.status, reply.header("x-nexus-backend")) == (200, "bad")
        assert len((await pair.gateway.outcome(number)).attempts) == 1
    pair.shows(Effect.NOTHING, "", counted=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_coded_reply_is_relayed_verbatim_and_judged_by_its_framing(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.Gzip())
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.header("content-encoding")) == (200, "gzip")
    assert reply.complete
    whole = gzip.decompress(reply.body)
    assert whole.startswith(b"data:" if stream else b"{") or kind == "exo"
    pair.shows(Effect.NOTHING, "", counted=False)
