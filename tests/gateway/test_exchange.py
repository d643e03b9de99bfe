from __future__ import annotations

import asyncio
import gc
import json
from typing import cast

import pytest
from tests.support.gateway import Serve, backend_toml, chat_body

from nexus.domain import FailureKind
from nexus.http.reply import Watcher
from nexus.http.server import Reply, Request
from nexus.testing import FakeFleet, FakeModel, Reset, Stall, Status
from nexus.testing.faults import Fault, Stage


class LeavingReply:
    """A reply whose client leaves when the test says so."""

    def __init__(self) -> None:
        self.started = self.ended = self.departed = False
        self.watcher: Watcher | None = None

    def leave(self) -> None:
        self.departed = True
        assert self.watcher is not None
        self.watcher.departed()


@pytest.mark.interpreted("compiled code takes a real reply only, and this one leaves when told to")
async def test_a_client_that_leaves_at_once_has_its_outcome_at_once(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    body = json.dumps(chat_body()).encode()
    fields: dict[bytes, bytes] = {b"host": b"localhost"}
    request = Request("POST", "/v1/chat/completions", "", (1, 1), list(fields.items()), fields)
    request.body = body
    reply = LeavingReply()
    assert gateway.nexus._gateway().handle(request, cast("Reply", reply)) is None
    assert gateway.nexus.exchanges.running
    reply.leave()
    assert not gateway.nexus.exchanges.running
    outcome = await gateway.outcome()
    assert (outcome.status, outcome.error, outcome.client_closed) == (499, "client_closed", True)
    assert [attempt.sent for attempt in outcome.attempts] in ([], [False], [True])
    assert gateway.at_rest()


async def test_a_defect_in_who_is_told_keeps_no_other_request_from_its_end(
    fleet: FakeFleet, start: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    backend.always(Stall(stage=Stage.HEAD))
    exchanges = gateway.nexus.exchanges

    def stumble(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(exchanges, "_publish", stumble)
    clients = [asyncio.ensure_future(gateway.chat()) for _ in range(2)]
    await gateway.until(lambda: len(exchanges.running) == 2)
    assert exchanges.cut_all(FailureKind.SHUTTING_DOWN) == 2
    assert not exchanges.running
    assert [(await client).status for client in clients] == [503, 503]
    assert gateway.at_rest()
    assert len([record for record in caplog.records if record.exc_info]) == 2


@pytest.mark.parametrize("fault", [Reset(Stage.BEFORE_HEAD), Status(500), None])
async def test_a_failed_request_leaves_nothing_to_the_garbage_collector(
    fleet: FakeFleet, start: Serve, fault: Fault | None
) -> None:
    """Its frames would keep its body until the next round."""
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    if fault is not None:
        backend.always(fault)
    await gateway.chat("m" if fault else "nobody")
    gc.collect()
    gc.disable()
    try:
        assert (await gateway.chat("m" if fault else "nobody")).status >= 400
        await gateway.outcome(2)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = {type(each).__name__ for each in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left.isdisjoint({"frame", "traceback", "coroutine", "Exchange", "HeadReader"})
