from __future__ import annotations

import json

import pytest
from tests.support.gateway import Serve, chat_body
from tests.support.recorder import recording

from nexus.domain import BackendType
from nexus.testing import FakeFleet, FakeModel

KINDS = tuple(kind.value for kind in BackendType)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_comes_back_byte_for_byte(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool
) -> None:
    backend = await fleet.add(kind, models=[FakeModel("m")])
    body = json.dumps(chat_body(stream=stream)).encode()
    async with recording(backend.host, backend.port) as recorder:
        gateway = await start(f'[[backends]]\nname = "b"\nurl = "{recorder.url}"\ntype = "{kind}"\n')
        reply = await gateway.request("POST", "/v1/chat/completions", body)
        assert reply.status == 200, reply.body
        assert reply.complete
        assert backend.requests[-1].body == body
        (sent,) = recorder.bodies("/v1/chat/completions")
        assert reply.body == sent.body
        outcome = await gateway.outcome()
        assert (outcome.status, outcome.backend, outcome.streamed) == (200, "b", stream)
        assert gateway.at_rest()


async def test_every_reply_says_who_answered_and_why(fleet: FakeFleet, start: Serve) -> None:
    local = await fleet.add("vllm", models=[FakeModel("m")])
    cloud = await fleet.add("openai", models=[FakeModel("gpt-4o")])
    gateway = await start(
        f'[[backends]]\nname = "gpu"\nurl = "{local.url}"\ntype = "vllm"\n'
        f'[[backends]]\nname = "cloud"\nurl = "{cloud.url}"\ntype = "openai"\n'
        '[routing.fallbacks]\n"lost" = ["gpt-4o"]\n'
    )
    reply = await gateway.chat("m", headers={"X-Request-Id": "my-id.1"})
    assert reply.header("x-nexus-backend") == "gpu"
    assert reply.header("x-nexus-backend-type") == "local"
    assert reply.header("x-nexus-route-reason") == "capability-match"
    assert reply.header("x-nexus-request-id") == "my-id.1"
    assert reply.header("x-nexus-attempts") is None
    assert reply.header("x-nexus-fallback-model") is None
    reply = await gateway.chat("lost", stream=True)
    assert reply.header("x-nexus-backend") == "cloud"
    assert reply.header("x-nexus-backend-type") == "cloud"
    assert reply.header("x-nexus-fallback-model") == "gpt-4o"
    assert json.loads(cloud.requests[-1].body)["model"] == "gpt-4o"
