"""Rows in the OpenAI shape, with every field that some server adds; each with its source."""

from __future__ import annotations

import pytest
from tests.backends.replies import (
    ScriptedProbe,
    only,
    poll,
    synthetic,
)

from nexus.domain import BackendType, Capabilities


@pytest.mark.parametrize(
    ("row", "context", "capabilities", "source"),
    [
        ({"meta": {"n_ctx": 5}, "max_model_len": 6}, 5, Capabilities(), "wire.md 3, generic parser"),
        ({"loaded_context_length": 7, "context_length": 9}, 7, Capabilities(), "wire.md 3, generic parser"),
        ({"context_window": 131072}, 131072, Capabilities(), "Groq's list"),
        ({"max_context_length": 9}, None, Capabilities(), "wire.md 3: what the weights could do"),
        (
            {
                "context_length": 1000,
                "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
                "supported_parameters": ["tools", "structured_outputs"],
            },
            1000,
            Capabilities(vision=True, audio=False, tools=True, json=True),
            "wire.md 3, OpenRouter",
        ),
        (
            {"max_input_tokens": 200000, "capabilities": {"image_input": {"supported": True}}},
            200000,
            Capabilities(vision=True),
            "wire.md 3, Anthropic",
        ),
        (
            {"capabilities": {"completion_chat": True, "function_calling": False, "vision": False}},
            None,
            Capabilities(chat=True, tools=False, vision=False),
            "Mistral's list",
        ),
        (
            {"capabilities": ["chat", "vision", "tools", "thinking"]},
            None,
            Capabilities(chat=True, vision=True, tools=True),
            "wire.md 3, LocalAI",
        ),
        ({"type": "embedding"}, None, Capabilities(embeddings=True, chat=False), "Together's list"),
        ({"context_length": True}, None, Capabilities(), "a bool is no number"),
        ({"context_length": -4096}, None, Capabilities(), "nor is a negative one"),
        ({"context_length": "4096"}, None, Capabilities(), "nor a string"),
        ({"context_length": 8192.0}, 8192, Capabilities(), "some serialisers write floats"),
    ],
)
async def test_generic_rows(
    row: dict[str, object], context: int | None, capabilities: Capabilities, source: str
) -> None:
    listed = synthetic({"data": [{"id": "m", **row}]})
    model = only(await poll(BackendType.GENERIC, ScriptedProbe({"/v1/models": listed})))
    assert (model.context_length, model.capabilities) == (context, capabilities), source


async def test_a_name_is_never_evidence() -> None:
    listed = synthetic({"data": [{"id": "llava-vision-embed-tools"}]})
    assert (
        only(await poll(BackendType.GENERIC, ScriptedProbe({"/v1/models": listed}))).capabilities
        == Capabilities()
    )


async def test_another_nexus_stays_generic_whatever_is_behind_it() -> None:
    listed = synthetic({"data": [{"id": "m", "owned_by": "vllm"}]}, Server="nexus")
    assert (await poll(BackendType.GENERIC, ScriptedProbe({"/v1/models": listed}))).type is None
