"""What was asked and answered: logged when it is asked for, and not held otherwise."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from tests.support.gateway import Serve, backend_toml

from nexus.gateway.content import Said
from nexus.protocol.words import answered, streamed
from nexus.testing import ErrorEventFirst, FakeFleet, FakeModel

READ_ALONG = "[logging]\nenable_content_logging = true\n"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.name == "nexus.content"]
    return [record.nexus_fields for record in records]  # type: ignore[attr-defined]  # ours


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nexus.content")


@pytest.mark.parametrize("stream", [False, True])
async def test_both_sides_are_logged_and_cut(
    fleet: FakeFleet, start: Serve, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend) + READ_ALONG + "content_bytes = 11\n")
    reply = await gateway.chat(stream=stream)
    await gateway.outcome()
    (line,) = lines(caplog)
    words = streamed(reply.body) if stream else answered(reply.body)
    assert len(words) > 11
    assert line["reply"] == words[:11] + "\N{HORIZONTAL ELLIPSIS}"
    assert line["request"] == "user: Hello"
    assert line["id"] == reply.header("x-nexus-request-id")
    assert line["reply_bytes"] == len(reply.body)


async def test_the_reply_is_that_of_the_attempt_that_served(
    fleet: FakeFleet, start: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    good = await fleet.add("vllm", models=[FakeModel("m")])
    bad.always(ErrorEventFirst())
    gateway = await start(backend_toml(bad, good, **{bad.name: "priority = 1"}) + READ_ALONG)
    reply = await gateway.chat(stream=True)
    await gateway.chat("nobody-has-it")
    await gateway.outcome(2)
    assert [line["reply"] for line in lines(caplog)] == [streamed(reply.body), ""]


async def test_off_nothing_of_it_exists(
    fleet: FakeFleet, start: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    await gateway.chat(stream=True)
    await gateway.outcome()
    assert lines(caplog) == []
    assert gateway.nexus.dispatcher.make_relay is None
    assert gateway.nexus.exchanges.also == ()
    assert not [one for one in gc.get_objects() if isinstance(one, Said)]
