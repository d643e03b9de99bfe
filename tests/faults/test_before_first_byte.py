"""The first failure table, row by row: each backend type, streamed and not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest
from tests.faults.rows import KINDS, SSE, Effect, Pair, served_by_the_other
from tests.support.gateway import Serve

from nexus import testing
from nexus.domain import BackendStatus
from nexus.services.backend_watch import BACKOFF_SECONDS
from nexus.testing import FakeFleet, Fault, Stage

QUICK = "[timeouts]\nfirst_byte_seconds = 0.25\nidle_seconds = 0.25\n"
MISCONFIGURED = "misconfigured"


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", _cases(), ids=_name)
async def test_a_row(fleet: FakeFleet, start: Serve, kind: str, case: tuple[Row, bool]) -> None:
    row, stream = case
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(row.fault)
    reply = await pair.gateway.chat(stream=stream)
    served_by_the_other(reply, pair, stream=stream)
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
    pair = await Pair.start(
        fleet, start, kind, "[health_check]\nrecovery_threshold = 1\ninterval_seconds = 0.1\n"
    )
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


async def test_many_failures_are_no_flood_of_checks(fleet: FakeFleet, start: Serve) -> None:
    pair = await Pair.start(fleet, start, "vllm")
    pair.bad.always(testing.ServerError())
    pair.good.always(testing.ServerError())
    before = len(pair.bad.probe_requests)
    began = time.monotonic()
    for _ in range(100):
        assert (await pair.gateway.chat()).status == 502
    seconds = time.monotonic() - began
    await pair.probed()
    assert len(pair.bad.probe_requests) - before <= 2 * (seconds / BACKOFF_SECONDS + 2)
