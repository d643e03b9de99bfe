"""The first failure table, row by row: each backend type, streamed and not."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.faults.rows import KINDS, Effect, Pair, asked
from tests.support.client import RawReply
from tests.support.gateway import Serve

from nexus import testing
from nexus.domain import BackendStatus
from nexus.testing import FakeFleet, Fault, Stage

QUICK = "[timeouts]\nfirst_byte_seconds = 0.1\nidle_seconds = 0.1\n"
MISCONFIGURED = "misconfigured"
SSE = "text/event-stream"


@dataclass(frozen=True)
class Row:
    """One way to fail before the first byte.

    Attributes:
        counted: the table calls it a failure of the backend.
        shown: how the rest is named, where not by the failure.
        streams: ``True`` or ``False`` where only one kind of reply can fail so.
    """

    fault: Fault
    failure: str
    effect: Effect
    counted: bool = True
    streams: bool | None = None
    name: str = ""
    shown: str = ""

    @property
    def id(self) -> str:
        return f"{self.fault.kind}{'-' if self.name else ''}{self.name}"


ROWS = [
    # Reset, parse error, impossible status, both length headers.
    Row(testing.Reset(), "reset", Effect.CHECK),
    Row(testing.Reset(Stage.HEAD), "reset", Effect.CHECK, name="head"),
    Row(testing.Reset(Stage.AFTER_HEAD), "reset", Effect.CHECK, name="after_head"),
    Row(testing.Reset(Stage.BODY, at_byte=40), "reset", Effect.CHECK, streams=False, name="held"),
    Row(testing.CloseSilently(), "reset", Effect.CHECK),
    Row(testing.Short(), "reset", Effect.CHECK, streams=False),
    Row(testing.CutStream(at_event=0), "reset", Effect.CHECK, name="at_0"),
    Row(testing.CutStream(), "reset", Effect.CHECK, streams=False, name="held"),
    Row(testing.Garbage(), "protocol", Effect.CHECK),
    Row(
        testing.Garbage(b"HTTP/1.1 200 OK\r\nBroken header\r\n\r\n"), "protocol", Effect.CHECK, name="header"
    ),
    Row(testing.BadChunk(at_event=0), "protocol", Effect.CHECK),
    Row(testing.BadChunk(), "protocol", Effect.CHECK, streams=False, name="held"),
    Row(testing.BothLengths(), "protocol", Effect.CHECK),
    *(Row(testing.Status(code), "protocol", Effect.CHECK, name=f"{code}") for code in (101, 204, 205, 999)),
    # 5xx, 200 with an error or nothing, a stream whose first event is an error.
    Row(testing.ServerError(), "server_error", Effect.REST),
    *(
        Row(testing.Status(code), "server_error", Effect.REST, name=f"{code}")
        for code in (500, 502, 504, 599)
    ),
    Row(
        testing.Status(500, b"<html><title>Oops</title></html>", content_type="text/html"),
        "server_error",
        Effect.REST,
        name="html",
    ),
    Row(testing.Status(500, b""), "server_error", Effect.REST, name="empty"),
    Row(testing.ErrorBody200(), "server_error", Effect.REST),
    Row(testing.EmptyBody(), "server_error", Effect.REST),
    Row(testing.Status(200, b" \r\n "), "server_error", Effect.REST, name="blank"),
    Row(testing.ErrorEventFirst(), "server_error", Effect.REST, streams=True),
    Row(testing.EndWithoutDone(at_event=0), "server_error", Effect.REST, streams=True),
    Row(
        testing.Status(200, b": one\n\n: two\n\n", content_type=SSE),
        "server_error",
        Effect.REST,
        streams=True,
        name="comments",
    ),
    # 405 and 501, by every type, say that the surface is missing.
    Row(testing.Status(405), "missing_capability", Effect.LEARN, counted=False, name="405"),
    Row(testing.Status(501), "missing_capability", Effect.LEARN, counted=False, name="501"),
    # 429, 503, 529.
    Row(testing.Busy(), "busy", Effect.BUSY),
    *(Row(testing.Busy(code=code), "busy", Effect.BUSY, name=f"{code}") for code in (429, 503, 529)),
    # 402, 429 insufficient_quota, 401, 403.
    Row(testing.Quota(), "billing", Effect.REST),
    Row(testing.Quota(402), "billing", Effect.REST, name="402"),
    Row(testing.Credentials(), "credentials", Effect.REST),
    Row(testing.Credentials(403), "credentials", Effect.REST, name="403"),
    # Unknown model.
    Row(testing.UnknownModel(), "unknown_model", Effect.REFRESH),
    # 408, 425.
    Row(testing.Status(408), "try_again", Effect.NOTHING, counted=False, name="408"),
    Row(testing.Status(425), "try_again", Effect.NOTHING, counted=False, name="425"),
    # 3xx.
    *(
        Row(
            testing.Redirect("http://u:p@other.test:81/x", code),
            "redirect",
            Effect.REST,
            name=f"{code}",
            shown=MISCONFIGURED,
        )
        for code in (301, 302, 307, 308)
    ),
    Row(testing.Status(304), "redirect", Effect.REST, name="304", shown=MISCONFIGURED),
]


def _cases() -> list[tuple[Row, bool]]:
    return [(row, stream) for row in ROWS for stream in (False, True) if row.streams in (None, stream)]


def _name(case: tuple[Row, bool]) -> str:
    return f"{case[0].id}-{'stream' if case[1] else 'whole'}"


def _served_by_the_other(reply: RawReply, pair: Pair, *, stream: bool) -> None:
    assert reply.status == 200, reply.body
    assert reply.complete
    assert reply.header("x-nexus-backend") == "good"
    assert reply.header("x-nexus-attempts") == "2"
    assert reply.header("x-nexus-route-reason") == "failover"
    assert (asked(pair.bad), asked(pair.good)) == (1, 1)
    assert pair.bad.surface_requests[0].body == pair.good.surface_requests[0].body
    if stream:
        assert reply.events[-1] == "[DONE]"
    assert b'"error"' not in reply.body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", _cases(), ids=_name)
async def test_a_row(fleet: FakeFleet, start: Serve, kind: str, case: tuple[Row, bool]) -> None:
    row, stream = case
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(row.fault)
    reply = await pair.gateway.chat(stream=stream)
    _served_by_the_other(reply, pair, stream=stream)
    outcome = await pair.gateway.outcome()
    first, second = outcome.attempts
    assert (first.failure, first.sent, second.failure) == (row.failure, True, None)
    assert outcome.error == ""
    pair.shows(row.effect, row.failure, counted=row.counted)
    if row.effect is Effect.REST:
        assert pair.model.rest_cause.startswith(f"{row.shown or row.failure}: "), "shown by its name"
    if row.effect is Effect.LEARN:
        assert pair.model.lacks_surfaces == ("chat",)
    if row.effect in (Effect.CHECK, Effect.REST, Effect.REFRESH):
        await pair.probed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_refused_is_unhealthy_at_once_and_checked_until_it_is_back(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, kind, "[health_check]\nrecovery_threshold = 1\n")
    await pair.bad.kill()
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good")
    first = (await pair.gateway.outcome()).attempts[0]
    assert (first.failure, first.sent) == ("refused", False)
    pair.shows(Effect.UNHEALTHY, "refused", counted=True)
    assert "refused" in pair.view.reason
    await pair.gateway.chat(stream=stream)
    assert len((await pair.gateway.outcome(2)).attempts) == 1, "out of rotation"
    await pair.bad.start()
    await pair.gateway.until(lambda: pair.view.status == "healthy")
    assert (await pair.gateway.chat(stream=stream)).header("x-nexus-backend") == "bad"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tls_failure_is_unhealthy_at_once(fleet: FakeFleet, start: Serve, stream: bool) -> None:
    plain = await fleet.add("vllm", models=["m"], name="good")
    gateway = await start(
        "[health_check]\nfailure_threshold = 100\n"
        f'[[backends]]\nname = "bad"\nurl = "https://127.0.0.1:{plain.port}"\ntype = "vllm"\npriority = 1\n'
        f'[[backends]]\nname = "good"\nurl = "{plain.url}"\ntype = "vllm"\n'
    )
    pair = Pair(plain, plain, gateway)
    registry = gateway.nexus.registry
    models = registry.snapshot.backends["good"].models
    registry.update("bad", status=BackendStatus.HEALTHY, models=models)
    reply = await gateway.chat(stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good")
    first = (await gateway.outcome()).attempts[0]
    assert (first.failure, first.sent) == ("tls", False)
    pair.shows(Effect.UNHEALTHY, "tls", counted=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connect_timeout_asks_for_a_check_and_is_free(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    settings = "[routing]\nmax_retries = 0\n[timeouts]\nconnect_seconds = 0.1\n"
    pair = await Pair.start(fleet, start, "vllm", settings)
    pair.bad.close_idle()
    await pair.bad.wait_until_closed()
    await pair.bad.ignore_connects()
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good")
    first = (await pair.gateway.outcome()).attempts[0]
    assert (first.failure, first.sent) == ("connect_timeout", False)
    pair.shows(Effect.CHECK, "connect_timeout", counted=True)


def _silences() -> dict[str, Fault]:
    return {
        "before_head": testing.Stall(),
        "head": testing.Stall(Stage.HEAD),
        "after_head": testing.Stall(Stage.AFTER_HEAD),
        "held": testing.Stall(Stage.BODY),
        "comments": testing.Comments(3, gate=asyncio.Event()),
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_a_first_byte_timeout(fleet: FakeFleet, start: Serve, kind: str) -> None:
    """All silences of one type at once: they only wait."""
    pair = await Pair.start(fleet, start, kind, QUICK)
    silences = _silences()
    pair.bad.policy = lambda request: silences[str(request.fields["user"])]
    cases = [(name, stream) for name in silences for stream in (False, True)]
    cases.remove(("held", True))
    cases.remove(("comments", False))
    replies = await asyncio.gather(*(pair.gateway.chat(user=name, stream=stream) for name, stream in cases))
    for reply, case in zip(replies, cases, strict=True):
        assert (reply.status, reply.header("x-nexus-backend")) == (200, "good"), case
    for number in range(len(cases)):
        first = (await pair.gateway.outcome(number + 1)).attempts[0]
        assert (first.failure, first.sent) == ("first_byte_timeout", True)
    await pair.bad.wait_for_departure(len(cases))
    assert pair.view.failures == {"first_byte_timeout": len(cases)}
    assert [wish.refresh for wish in pair.wishes] == [False] * len(cases)
    assert pair.view.status == "healthy"
    assert not pair.model.resting_seconds
    await pair.probed()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_backend_that_accepts_and_reads_nothing(fleet: FakeFleet, start: Serve, stream: bool) -> None:
    pair = await Pair.start(fleet, start, "vllm", QUICK)
    pair.bad.next(testing.Stall(Stage.ACCEPT))
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good")
    first = (await pair.gateway.outcome()).attempts[0]
    assert (first.failure, first.sent) == ("first_byte_timeout", True)
    pair.shows(Effect.CHECK, "first_byte_timeout", counted=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_loading_is_shown_as_such(fleet: FakeFleet, start: Serve, kind: str, stream: bool) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.Loading(retry_after="5"))
    _served_by_the_other(await pair.gateway.chat(stream=stream), pair, stream=stream)
    failure = (await pair.gateway.outcome()).attempts[0].failure
    # SGLang says it without a word, and OpenAI has nothing to load.
    assert failure == ("busy" if kind in ("sglang", "openai") else "loading")
    pair.shows(Effect.BUSY, failure, counted=True)
    assert pair.model.busy_loading == (failure == "loading")
    assert 4 < pair.model.busy_seconds <= 5


def _date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (None, 1, 2),
        ("7", 6, 7),
        ("60", 59, 60),
        ("61", 59, 60),
        ("86400", 59, 60),
        ("soon", 1, 2),
        ("-5", 0, 2),
        ("1.5", 0, 2),
        ("9" * 400, 0, 60),
        ("in 20", 17, 20),
        ("in 3600", 59, 60),
        ("in -20", 0, 2),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_retry_after_in_seconds_or_as_a_date_is_capped(
    fleet: FakeFleet, start: Serve, value: str | None, least: float, most: float, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    header = _date(float(value[3:])) if value is not None and value.startswith("in ") else value
    pair.bad.next(testing.Busy(retry_after=header))
    assert (await pair.gateway.chat(stream=stream)).header("x-nexus-backend") == "good"
    assert least <= pair.model.busy_seconds <= most
    if pair.model.busy_seconds > 0.5:
        await pair.gateway.chat(stream=stream)
        assert asked(pair.bad) == 1, "left alone"


async def test_without_retry_after_the_wait_doubles_up_to_a_minute(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.always(testing.Busy())
    (candidate, _) = pair.gateway.nexus.registry.by_model("m")
    waits = []
    for _ in range(7):
        await pair.gateway.chat()
        waits.append(round(pair.model.busy_seconds))
        candidate.stats.busy_until = 0.0
    assert waits == [2, 4, 8, 16, 32, 60, 60]
    pair.bad.clear()
    assert (await pair.gateway.chat()).header("x-nexus-backend") == "bad"
    pair.bad.always(testing.Busy())
    await pair.gateway.chat()
    assert round(pair.model.busy_seconds) == 2, "a success ends the streak"


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
    _served_by_the_other(await pair.gateway.chat(stream=stream), pair, stream=stream)
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
