"""TGI, from the facts about its wire and its fake."""

from __future__ import annotations

import pytest
from tests.backends.probing import probing
from tests.backends.replies import HEALTHY, REFUSED, UNHEALTHY, ScriptedProbe, only, poll, synthetic

from nexus.backends import ADAPTERS
from nexus.domain import BackendType, Capabilities
from nexus.protocol.envelope import Fix
from nexus.protocol.surfaces import surfaces_of
from nexus.testing import FakeFleet, FakeModel

ROWS = synthetic({"object": "list", "data": [{"id": "org/m", "object": "model", "owned_by": "org/m"}]})
INFO = synthetic(
    {
        "model_id": "org/m",
        "max_concurrent_requests": 64,
        "max_input_tokens": 1024,
        "max_total_tokens": 2048,
        "router": "text-generation-router",
        "version": "3.3.7",
    }
)


async def test_context_slots_and_version_come_from_info() -> None:
    probe = ScriptedProbe({"/v1/models": ROWS, "/info": INFO})
    report = await poll(BackendType.TGI, probe)
    assert (report.status, report.slots, report.version, report.type) == (HEALTHY, 64, "3.3.7", None)
    model = only(report)
    assert (model.id, model.context_length, model.loaded) == ("org/m", 2048, True)
    assert model.capabilities == Capabilities(embeddings=False)


async def test_health_is_never_asked_because_it_generates() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("tgi", models=[FakeModel("m", context=4096)])
        async with probing(fake.url) as probe:
            report = await ADAPTERS[BackendType.TGI].poll(probe)
        assert fake.side_effects == []
        assert [request.path for request in fake.requests] == ["/v1/models", "/info"]
    assert (only(report).context_length, report.slots) == (4096, 128)


@pytest.mark.parametrize(
    "info", [REFUSED, synthetic(b"[]"), synthetic({"max_total_tokens": -1}), synthetic(b"", 500)]
)
async def test_a_list_without_info_is_enough(info: object) -> None:
    report = await poll(BackendType.TGI, ScriptedProbe({"/v1/models": ROWS, "/info": info}))  # type: ignore[dict-item]
    assert (report.status, report.slots, only(report).context_length) == (HEALTHY, None, None)


async def test_unhealthy_shards_are_said() -> None:
    dead = synthetic({"error": "unhealthy", "error_type": "healthcheck"}, 503)
    report = await poll(BackendType.TGI, ScriptedProbe({"/v1/models": dead}))
    assert (report.status, report.models) == (UNHEALTHY, None)
    assert "unhealthy" in report.reason


def test_what_follows_from_the_type() -> None:
    adapter = ADAPTERS[BackendType.TGI]
    assert (adapter.fixes, adapter.counts_max_tokens, adapter.default_slots) == (
        frozenset({Fix.STOP_ARRAY}),
        True,
        128,
    )
    assert surfaces_of(BackendType.TGI) == {"chat", "completions", "embeddings"}
