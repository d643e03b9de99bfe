"""LM Studio, from wire.md."""

from __future__ import annotations

import pytest
from tests.backends.replies import (
    ANYTHING,
    HEALTHY,
    UNHEALTHY,
    ScriptedProbe,
    only,
    poll,
    synthetic,
)

from nexus.domain import BackendType

LM_V1 = synthetic(
    {
        "models": [
            {
                "type": "llm",
                "key": "qwen/qwen3-8b",
                "publisher": "qwen",
                "max_context_length": 40960,
                "loaded_instances": [
                    {"id": "qwen/qwen3-8b", "config": {"context_length": 8192, "parallel": 4}},
                    {"id": "qwen/qwen3-8b:2", "config": {"context_length": 4096, "parallel": 2}},
                ],
                "capabilities": {"vision": False, "trained_for_tool_use": True},
            },
            {"type": "embedding", "key": "nomic", "max_context_length": 2048, "loaded_instances": []},
        ]
    }
)
LM_V0 = synthetic(
    {
        "data": [
            {"id": "a", "type": "vlm", "state": "loaded", "max_context_length": 9000,
             "loaded_context_length": 4096,
             "capabilities": ["tool_use"]},
            {"id": "b", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        ]
    }
)  # fmt: skip


async def test_lmstudio_v1() -> None:
    probe = ScriptedProbe({"/api/v1/models": LM_V1}, ANYTHING)
    report = await poll(BackendType.LMSTUDIO, probe)
    assert (report.status, report.slots, probe.asked) == (HEALTHY, 6, ["/api/v1/models"])
    assert report.models is not None
    chat, embeds = report.models
    assert (chat.id, chat.context_length, chat.context_assumed, chat.loaded) == (
        "qwen/qwen3-8b",
        4096,
        40960,
        True,
    )
    assert (chat.capabilities.tools, chat.capabilities.vision, chat.capabilities.chat) == (True, False, True)
    assert (embeds.context_length, embeds.context_assumed, embeds.loaded) == (None, 2048, False)
    assert (embeds.capabilities.embeddings, embeds.capabilities.chat) == (True, False)


async def test_lmstudio_v0_and_bad_probes_are_not_repeated() -> None:
    memory: dict[str, object] = {}
    probe = ScriptedProbe({"/api/v0/models": LM_V0}, ANYTHING)
    for _ in range(2):
        report = await poll(BackendType.LMSTUDIO, probe, memory)
    assert probe.asked == ["/api/v1/models", "/api/v0/models", "/api/v0/models"]
    assert report.models is not None
    sees, embeds = report.models
    assert (sees.context_length, sees.context_assumed, sees.loaded) == (4096, 9000, True)
    assert (sees.capabilities.vision, sees.capabilities.tools) == (True, True)
    assert (embeds.context_length, embeds.loaded, embeds.capabilities.embeddings) == (None, False, True)


async def test_lmstudio_oldest() -> None:
    memory: dict[str, object] = {}
    probe = ScriptedProbe({"/v1/models": synthetic({"data": [{"id": "a"}]})}, ANYTHING)
    for _ in range(2):
        assert only(await poll(BackendType.LMSTUDIO, probe, memory)).loaded is None
    assert probe.asked == ["/api/v1/models", "/api/v0/models", "/v1/models", "/v1/models"]


@pytest.mark.parametrize("kind", [BackendType.OLLAMA, BackendType.GENERIC, BackendType.VLLM])
async def test_200_for_anything_is_not_believed_and_names_lmstudio(kind: BackendType) -> None:
    report = await poll(kind, ScriptedProbe({}, ANYTHING))
    assert (report.status, report.type) == (UNHEALTHY, BackendType.LMSTUDIO)
    assert "Unexpected endpoint" in report.reason
