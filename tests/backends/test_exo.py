"""exo, from wire.md."""

from __future__ import annotations

import pytest
from tests.backends.replies import (
    HEALTHY,
    ScriptedProbe,
    poll,
    synthetic,
)

from nexus.domain import BackendType, Capabilities

# wire.md section 3: the list is a catalogue; what runs is in /ollama/api/ps or in /state.
EXO_CARDS = synthetic(
    {
        "data": [
            {
                "id": "mlx/llama",
                "owned_by": "exo",
                "context_length": 131072,
                "capabilities": ["text", "vision"],
            },
            {"id": "mlx/other", "owned_by": "exo", "context_length": 4096},
        ]
    }
)
EXO_STATE = synthetic(
    {
        "instances": {
            "i1": {"MlxRingInstance": {"instanceId": "i1", "shardAssignments": {"modelId": "mlx/llama"}}},
            "i2": {"shardAssignments": {"modelId": "mlx/unlisted"}},
        }
    }
)


@pytest.mark.parametrize(
    "running",
    [
        {"/ollama/api/ps": synthetic({"models": [{"name": "mlx/llama"}, {"model": "mlx/unlisted"}]})},
        {"/state": EXO_STATE},
    ],
)
async def test_exo_offers_only_what_is_placed(running: dict[str, object]) -> None:
    probe = ScriptedProbe({"/v1/models?status=downloaded": EXO_CARDS, **running})  # type: ignore[dict-item]
    report = await poll(BackendType.EXO, probe)
    assert "/v1/models" not in probe.asked
    assert report.models is not None
    llama, unlisted = report.models
    assert (llama.id, llama.context_length, llama.context_assumed, llama.loaded) == (
        "mlx/llama",
        None,
        131072,
        True,
    )
    assert llama.capabilities == Capabilities(vision=True, json=False)
    assert (unlisted.id, unlisted.capabilities) == ("mlx/unlisted", Capabilities(json=False))


async def test_exo_with_nothing_placed() -> None:
    probe = ScriptedProbe(
        {"/v1/models?status=downloaded": EXO_CARDS, "/ollama/api/ps": synthetic({"models": []})}
    )
    report = await poll(BackendType.EXO, probe)
    assert (report.status, report.models) == (HEALTHY, ())
