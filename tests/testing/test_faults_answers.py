"""Faults that a server tells: statuses, refusals, broken streams."""

from __future__ import annotations

import json

import pytest
from tests.testing.wire import ask, chat, event_shapes, header, payloads, raw, request, text_of

from nexus.testing import (
    Busy,
    Comments,
    ContextOverflow,
    Credentials,
    CutStream,
    Death,
    EndWithoutDone,
    ErrorBody200,
    ErrorEventFirst,
    ErrorEventMid,
    FakeBackend,
    FakeFleet,
    Fault,
    Loading,
    MissingCapability,
    Quota,
    Redirect,
    ServerError,
    Status,
    UnknownModel,
)
from nexus.testing.dialects import DIALECTS
from nexus.testing.fixtures import parse

KINDS = sorted(DIALECTS)
END = b"0\r\n\r\n"


async def meet(
    fake: FakeBackend, fault: Fault, *, stream: bool = False, close: bool = True
) -> tuple[bytes, str]:
    fake.next(fault)
    return await raw(fake, request(chat(stream=stream), close=close))


def body_of(reply: bytes) -> bytes:
    return reply.partition(b"\r\n\r\n")[2]


async def test_statuses() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        for code in (101, 204, 301, 418, 500, 503, 529, 999):
            got, _ = await meet(fake, Status(code, b"x", (("Retry-After", "3"),), "text/plain"))
            assert got.startswith(b"HTTP/1.1 %d " % code)
            assert header(parse(got), b"retry-after") == b"3"
            assert body_of(got) == b"x"
        got, _ = await meet(fake, Status(500))
        assert json.loads(body_of(got))["error"]["code"] == 500


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_servers_say_no_in_their_own_words(kind: str, stream: bool) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])

        async def answer(fault: Fault) -> tuple[int, str]:
            reply = parse((await meet(fake, fault, stream=stream))[0])
            return reply.status, reply.body.decode()

        status, body = await answer(ErrorBody200("broken"))
        assert (status, "broken" in body) == (200, True)
        status, _ = await answer(ServerError())
        assert status >= 424
        assert (await answer(Busy()))[0] in {429, 503}
        assert (await answer(Busy(code=529)))[0] == 529
        assert (await answer(Loading()))[0] == 503
        assert (await answer(Credentials()))[0] == 401
        assert (await answer(Credentials(403)))[0] == 403
        status, body = await answer(Quota())
        assert (status, json.loads(body)["error"]["code"]) == (429, "insufficient_quota")
        assert (await answer(Quota(402)))[0] == 402
        assert (await answer(UnknownModel()))[0] in {400, 404}
        for what in ("vision", "tools", "embeddings"):
            assert (await answer(MissingCapability(what)))[0] >= 400
        status, body = await answer(ContextOverflow(1234, 5678))
        assert status in {400, 422, 500}
        assert kind == "ollama" or "1234" in body
        assert (await answer(Redirect("http://other.test/", 308)))[0] == 308


async def test_busy_and_loading_say_when_to_come_back() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=["m"])
        date = "Mon, 23 Nov 2026 07:04:31 GMT"
        for fault, value in ((Busy("7"), b"7"), (Busy(date), date.encode()), (Loading("9"), b"9")):
            assert header(parse((await meet(fake, fault))[0]), b"retry-after") == value
        redirect = parse((await meet(fake, Redirect("http://other.test/x")))[0])
        assert header(redirect, b"location") == b"http://other.test/x"


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_break_as_told(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])

        got, end = await meet(fake, ErrorEventFirst(), stream=True)
        assert '"error"' in payloads(parse(got))[0]
        assert (got.endswith(END), end) == (True, "fin")

        got, _ = await meet(fake, ErrorEventMid(2), stream=True)
        events = payloads(parse(got))
        assert ['"error"' in data for data in events[:3]] == [False, False, True]
        assert got.endswith(END)

        got, _ = await meet(fake, EndWithoutDone(3), stream=True)
        assert len(payloads(parse(got))) == 3
        assert b"[DONE]" not in got
        assert b'"finish_reason":"' not in got
        assert got.endswith(END)

        got, end = await meet(fake, CutStream(3), stream=True)
        assert len(payloads(parse(got))) == 3
        assert (got.endswith(END), end) == (False, "fin")

        got, _ = await meet(fake, Comments(2, "keepalive 0/17"), stream=True)
        assert parse(got).body.startswith(b": keepalive 0/17\n\n: keepalive 0/17\n\n")
        assert text_of(parse(got)) == f"{fake.name} answers as m: all is well here."


async def test_cut_replies_that_are_no_stream_are_cut_in_the_middle() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        for fault in (CutStream(), Death()):
            got, end = await meet(fake, fault)
            announced = int(header(parse(got), b"content-length") or 0)
            assert (len(body_of(got)), end) == (announced // 2, "fin")


async def test_each_server_dies_in_its_own_way() -> None:
    async with FakeFleet() as fleet:
        ends = {}
        for kind in ("llamacpp", "vllm", "ollama"):
            fake = await fleet.add(kind, models=["m"])
            got, _ = await meet(fake, Death(2), stream=True)
            ends[kind] = (got.endswith(END), b'"error"' in got, b"[DONE]" in got)
    assert ends == {
        "llamacpp": (False, False, False),
        "vllm": (True, True, True),
        "ollama": (True, False, False),
    }


@pytest.mark.parametrize(
    ("path", "mark"), [("/v1/messages", b"event: error"), ("/v1/responses", b"event: error")]
)
async def test_errors_in_other_streams_have_their_shape(path: str, mark: bytes) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        fake.always(ErrorEventMid(1))
        body = {"model": "m", "stream": True, "messages": [], "input": "hi"}
        reply = await ask(fake, body, path)
    assert mark in reply.body
    assert event_shapes(reply)[-1][1]["type"] == "text"


async def test_a_fault_of_streams_waits_for_one() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("vllm", models=["m"])
        fake.next(EndWithoutDone(1))
        assert (await ask(fake, chat())).status == 200
        assert fake.served == {"none": 1}
        assert b"[DONE]" not in (await ask(fake, chat(stream=True))).body
        assert fake.served == {"none": 1, "EndWithoutDone": 1}
