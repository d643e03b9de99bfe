"""SGLang, from wire.md."""

from __future__ import annotations

from tests.backends.replies import (
    LOADING,
    ScriptedProbe,
    only,
    poll,
    synthetic,
)

from nexus.domain import BackendType, Capabilities

# wire.md section 3: the fields of /model_info.
SGLANG = {
    "/ready": synthetic(b""),
    "/v1/models": synthetic({"data": [{"id": "m", "owned_by": "sglang", "max_model_len": 32768}]}),
    "/model_info": synthetic(
        {
            "is_generation": True,
            "has_image_understanding": True,
            "has_audio_understanding": False,
            "tool_call_parser": None,
        }
    ),
}


async def test_sglang_never_asks_health() -> None:
    probe = ScriptedProbe(SGLANG)
    model = only(await poll(BackendType.SGLANG, probe))
    assert probe.asked == ["/ready", "/v1/models", "/model_info"]
    assert model.context_length == 32768
    assert model.capabilities == Capabilities(
        vision=True, remote_image=True, audio=False, tools=False, json=True, chat=True
    )


async def test_sglang_older_paths_are_remembered() -> None:
    memory: dict[str, object] = {}
    info = synthetic({"is_generation": False})
    probe = ScriptedProbe({"/v1/models": SGLANG["/v1/models"], "/get_model_info": info})
    for _ in range(2):
        model = only(await poll(BackendType.SGLANG, probe, memory))
    assert (model.capabilities.embeddings, model.capabilities.chat, model.capabilities.tools) == (
        True,
        False,
        None,
    )
    assert probe.asked.count("/model_info") == 1


async def test_sglang_starting() -> None:
    report = await poll(BackendType.SGLANG, ScriptedProbe({**SGLANG, "/ready": synthetic(b"", 503)}))
    assert report.status is LOADING
