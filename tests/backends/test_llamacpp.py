"""llama.cpp: recorded replies, and older, multimodal and router servers from wire.md."""

from __future__ import annotations

import pytest
from tests.backends.replies import (
    HEALTHY,
    LLAMA,
    LOADING,
    REFUSED,
    UNAUTHORIZED,
    ScriptedProbe,
    only,
    poll,
    recorded,
    synthetic,
)

from nexus.domain import BackendType, Capabilities


async def test_llamacpp_recorded() -> None:
    report = await poll(BackendType.LLAMACPP, ScriptedProbe(LLAMA))
    assert (report.status, report.slots, report.version, report.type) == (HEALTHY, 2, "b0-unknown", None)
    model = only(report)
    assert (model.id, model.context_length, model.context_assumed) == ("smollm2-135m", 2048, 8192)
    assert (model.loaded, model.owned_by, model.created) == (True, "llamacpp", 1795417422)
    # Its template has no tools, but the server's generic handler answered a tool call all the same.
    assert model.capabilities == Capabilities(vision=False, audio=False, tools=None, json=True)


async def test_llamacpp_loading_recorded() -> None:
    replies = {
        "/health": recorded("llamacpp-loading/health"),
        "/v1/models": recorded("llamacpp-xllamacpp/models"),
    }
    report = await poll(BackendType.LLAMACPP, ScriptedProbe(replies))
    assert (report.status, report.reason, report.models) == (LOADING, "loading: Loading model", None)


@pytest.mark.parametrize("folder", ["llamacpp-apikey-nokey", "llamacpp-apikey-wrong"])
async def test_llamacpp_wrong_key_recorded(folder: str) -> None:
    replies = {
        "/health": recorded("llamacpp-apikey-nokey/health"),
        "/v1/models": recorded(f"{folder}/models"),
    }
    report = await poll(BackendType.LLAMACPP, ScriptedProbe(replies))
    assert report.status is UNAUTHORIZED
    assert "Invalid API Key" in report.reason


async def test_llamacpp_without_props_still_serves() -> None:
    report = await poll(BackendType.LLAMACPP, ScriptedProbe({**LLAMA, "/props": REFUSED}))
    assert (report.status, report.slots, only(report).context_length) == (HEALTHY, None, 2048)


async def test_llamacpp_older_builds_say_the_context_in_props() -> None:
    # wire.md section 3: older builds have only n_ctx_train in the list.
    models = synthetic({"data": [{"id": "m", "meta": {"n_ctx_train": 131072}}]}, Server="llama.cpp")
    props = synthetic({"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4, "is_sleeping": True})
    report = await poll(BackendType.LLAMACPP, ScriptedProbe({**LLAMA, "/v1/models": models, "/props": props}))
    model = only(report)
    assert (model.context_length, model.context_assumed, model.loaded, report.slots) == (
        4096,
        131072,
        False,
        4,
    )


async def test_llamacpp_multimodal() -> None:
    # wire.md section 3: /props.modalities and chat_template_caps.
    props = synthetic(
        {"modalities": {"vision": True, "audio": False}, "chat_template_caps": {"supports_tools": True}}
    )
    model = only(await poll(BackendType.LLAMACPP, ScriptedProbe({**LLAMA, "/props": props})))
    assert model.capabilities == Capabilities(
        vision=True, remote_image=True, audio=False, tools=True, json=True
    )


async def test_llamacpp_router_is_never_made_to_load() -> None:
    # wire.md section 3, router mode: status.value, architecture computed offline, meta once loaded.
    rows = [
        {"id": "a", "status": {"value": "loaded"}, "meta": {"n_ctx": 8192}},
        {"id": "b", "status": {"value": "unloaded"}, "architecture": {"input_modalities": ["text", "image"]}},
        {"id": "c", "status": {"value": "downloading"}},
        {"id": "d", "status": {"value": "sleeping"}},
    ]
    probe = ScriptedProbe(
        {
            **LLAMA,
            "/v1/models": synthetic({"data": rows}, Server="llama.cpp"),
            "/props": synthetic({"role": "router", "max_instances": 4, "total_slots": 9}),
        }
    )
    report = await poll(BackendType.LLAMACPP, probe)
    assert probe.asked == ["/v1/models", "/health", "/props"]
    assert report.slots is None
    found = {
        model.id: (model.loaded, model.context_length, model.capabilities.vision)
        for model in report.models or ()
    }
    assert found == {"a": (True, 8192, None), "b": (False, None, True), "d": (False, None, None)}
