"""Adapters against the fake fleet, which was written from the same facts by other hands."""

from __future__ import annotations

import pytest
from tests.backends.probing import probing

from nexus.backends import ADAPTERS
from nexus.backends.detect import detect
from nexus.domain import BackendStatus, BackendType, FailureKind
from nexus.testing import FakeFleet, FakeModel, fixtures

K = FailureKind
SERVERS = tuple(BackendType)

MEANINGS = {
    "bad-json": (K.CLIENT_ERROR, None, None),
    "missing-messages": (K.CLIENT_ERROR, None, None),
    "busy": (K.BUSY, None, None),
    "quota": (K.BILLING, None, None),
    "unauthorized": (K.CREDENTIALS, None, None),
    "unknown-model": (K.UNKNOWN_MODEL, None, None),
    "no-tools": (K.MISSING_CAPABILITY, "tools", None),
    "no-vision": (K.MISSING_CAPABILITY, "vision", None),
    "no-embeddings": (K.MISSING_CAPABILITY, "embeddings", None),
    "not-found": (K.MISSING_CAPABILITY, "surface:chat", None),
    "method-not-allowed": (K.MISSING_CAPABILITY, "surface:chat", None),
    "context-overflow": (K.CONTEXT_OVERFLOW, None, 2048),
    "server-error": (K.SERVER_ERROR, None, None),
}
# Servers that say it with a status alone, or without the number.
EXCEPTIONS = {
    ("vllm", "no-embeddings"): (K.MISSING_CAPABILITY, "surface:chat", None),
    ("tgi", "no-embeddings"): (K.MISSING_CAPABILITY, "surface:chat", None),
    ("ollama", "context-overflow"): (K.CONTEXT_OVERFLOW, None, None),
}


@pytest.mark.parametrize("server", SERVERS)
def test_every_refusal_of_the_fleet_is_read(server: str) -> None:
    adapter = ADAPTERS[BackendType(server)]
    known = fixtures.names(server) & MEANINGS.keys()
    assert len(known) >= 9
    for name in known:
        reply = fixtures.load(server, name)
        reading = adapter.read_error(reply.status, reply.body, reply.headers, surface="chat")
        expected = EXCEPTIONS.get((server, name), MEANINGS[name])
        assert (reading.kind, reading.capability, reading.context_length) == expected, (server, name)


@pytest.mark.parametrize("server", SERVERS)
async def test_every_server_of_the_fleet_is_recognised_and_healthy(server: str) -> None:
    wanted = BackendType(server)
    if wanted is BackendType.OPENAI:
        wanted = BackendType.GENERIC  # by its host alone, never by its replies
    async with FakeFleet() as fleet:
        fake = await fleet.add(server, models=[FakeModel("m", context=4096, trained_context=8192)])
        async with probing(fake.url) as probe:
            verdict = await detect(probe)
            assert verdict is not None
            report = await ADAPTERS[verdict.type].poll(probe, {})
    assert (verdict.type, report.status, report.type) == (wanted, BackendStatus.HEALTHY, None)
    assert [model.id for model in report.models or ()] == ["m"]
