"""OpenAI's table."""

from __future__ import annotations

from tests.backends.replies import (
    ScriptedProbe,
    poll,
    synthetic,
)

from nexus.backends import ADAPTERS
from nexus.domain import BackendType, Capabilities


async def test_openai_table() -> None:
    # wire.md section 3: id, created and owned_by only.
    names = [
        "gpt-4o-2024-08-06",
        "text-embedding-3-small",
        "gpt-4o-audio-preview",
        "ft:gpt-4o:me::x",
        "whisper-1",
    ]
    rows = [{"id": name, "created": 1, "owned_by": "system"} for name in names]
    report = await poll(BackendType.OPENAI, ScriptedProbe({"/v1/models": synthetic({"data": rows})}))
    assert report.models is not None
    sees, embeds, audio, tuned, whisper = report.models
    assert all(model.context_length is None for model in report.models)
    assert (sees.context_assumed, sees.capabilities.vision, sees.capabilities.chat) == (128_000, True, True)
    assert (embeds.capabilities.embeddings, embeds.capabilities.chat) == (True, False)
    assert audio.capabilities == tuned.capabilities == Capabilities()
    assert (whisper.capabilities.chat, ADAPTERS[BackendType.OPENAI].cloud) == (False, True)
