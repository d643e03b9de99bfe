"""Backends that ask to be left alone: for how long, and what is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.faults.rows import KINDS, Effect, Pair, asked, served_by_the_other
from tests.support.gateway import Serve

from nexus import testing
from nexus.testing import FakeFleet


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_loading_is_shown_as_such(fleet: FakeFleet, start: Serve, kind: str, stream: bool) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.Loading(retry_after="5"))
    served_by_the_other(await pair.gateway.chat(stream=stream), pair, stream=stream)
    failure = (await pair.gateway.outcome()).attempts[0].failure
    # SGLang and TGI say it without a word, and OpenAI has nothing to load.
    assert failure == ("busy" if kind in ("sglang", "tgi", "openai") else "loading")
    pair.shows(Effect.LOADING if failure == "loading" else Effect.BUSY, failure, counted=True)
    assert 4 < pair.model.busy_seconds <= 5


@pytest.mark.parametrize("kind", ["llamacpp", "generic"])
async def test_a_server_that_loads_as_a_whole_is_taken_back_when_it_is_up(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    pair = await Pair.start(fleet, start, kind, "[health_check]\nrecovery_threshold = 1\n")
    pair.bad.set_loading(True)
    assert (await pair.gateway.chat()).header("x-nexus-backend") == "good"
    await pair.gateway.until(lambda: pair.view.status == "loading")
    assert (await pair.gateway.chat()).header("x-nexus-attempts") is None
    pair.bad.set_loading(False)
    pair.gateway.nexus.registry.wish_check("bad", "the test will not wait a second")
    await pair.gateway.until(lambda: pair.view.status == "healthy")
    assert not pair.model.busy_seconds
    assert (await pair.gateway.chat()).header("x-nexus-backend") == "bad"


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
