from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

from tests.support.gateway import Serve, backend_toml, chat_body

from nexus.http.server import Reply, Request
from nexus.testing import FakeFleet, FakeModel


class LeavingReply:
    """A reply whose client leaves when the test says so."""

    def __init__(self) -> None:
        self.started = self.ended = self.departed = False
        self.on_departed: Callable[[], None] | None = None
        self.on_stalled: Callable[[], None] | None = None

    def leave(self) -> None:
        self.departed = True
        assert self.on_departed is not None
        self.on_departed()


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
