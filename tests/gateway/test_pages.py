from __future__ import annotations

import pytest
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus import __version__
from nexus.testing import FakeFleet, FakeModel


async def test_health_answers_from_memory_and_always_200(fleet: FakeFleet, start: Serve) -> None:
    up = await fleet.add("vllm", models=[FakeModel("m"), FakeModel("n")])
    down = await fleet.add("vllm", models=[FakeModel("m")])
    await down.stop()
    gateway = await start(backend_toml(up, down))
    for path in ("/health", "/health/", "/v1/health"):
        reply = await gateway.get(path)
        assert reply.status == 200
        body = reply.json
        assert body["status"] == "degraded"
        assert body["version"] == __version__
        assert body["backends"] == {"total": 2, "healthy": 1, "unhealthy": 1}
        assert body["models"] == 2
    assert (await gateway.get("/health/live")).status == 200
    assert (await gateway.get("/health/ready")).status == 200


async def test_readiness_can_demand_a_backend(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start("[server]\nready_needs_backend = true\n" + backend_toml(backend))
    await gateway.until(lambda: gateway.nexus.lifecycle.ready)
    await backend.kill()
    gateway.nexus.registry.mark_unreachable(backend.name, "gone")
    reply = await gateway.get("/health/ready")
    assert reply.status == 503
    assert reply.header("retry-after") == "1"


async def test_models_are_merged_with_aliases_and_availability(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("ollama", models=[FakeModel("llama3:latest"), FakeModel("qwen/qwen3:8b")])
    two = await fleet.add("vllm", models=[FakeModel("llama3", context=4096)])
    gateway = await start(backend_toml(one, two) + '[routing.aliases]\n"gpt-4" = "llama3"\n')
    body = (await gateway.get("/v1/models")).json
    assert body["object"] == "list"
    rows = {row["id"]: row for row in body["data"]}
    assert set(rows) == {"llama3", "qwen/qwen3:8b", "gpt-4"}
    assert all(row["object"] == "model" for row in rows.values())
    assert rows["llama3"]["available"] is True
    assert set(rows["llama3"]["backends"]) == {one.name, two.name}
    assert rows["gpt-4"]["alias_of"] == "llama3"
    for name in ("llama3", "llama3:latest", "qwen/qwen3:8b", "qwen%2Fqwen3:8b", "qwen/qwen3%3A8b", "gpt-4"):
        assert (await gateway.get(f"/v1/models/{name}")).status == 200, name
    reply = await gateway.get("/v1/models/nope")
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")


async def test_an_empty_gateway_lists_nothing_and_never_null(start: Serve) -> None:
    gateway = await start("")
    assert (await gateway.get("/v1/models")).json == {"object": "list", "data": []}
    assert (await gateway.get("/health")).json["status"] == "unhealthy"


async def test_models_of_a_dead_backend_stay_listed_but_unavailable(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    await backend.kill()
    gateway.nexus.registry.mark_unreachable(backend.name, "gone")
    (row,) = (await gateway.get("/v1/models")).json["data"]
    assert row["available"] is False
    reply = await gateway.chat("m")
    assert reply.status == 503
    assert reply.error["context"]["rejections"][0]["backend"] == backend.name


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/chat/completions", 405, "use POST"),
        ("DELETE", "/v1/models", 405, "GET or HEAD"),
        ("POST", "/health", 405, "GET or HEAD"),
        ("POST", "/v1/v1/chat/completions", 404, "one '/v1' too many"),
        ("POST", "/api/chat", 404, "not an Ollama server"),
        ("GET", "/nothing", 404, "base URL"),
        ("POST", "//chat/completions", 404, "base URL"),
        ("GET", "/v1/models/..%2f..%2fetc", 404, "does not exist"),
    ],
)
async def test_unknown_paths_and_methods_say_what_to_do(
    start: Serve, method: str, path: str, status: int, words: str
) -> None:
    gateway = await start("")
    reply = await gateway.request(method, path, b"{}" if method == "POST" else b"")
    assert reply.status == status
    assert words in reply.error["message"]
    if status == 405:
        assert "OPTIONS" in (reply.header("allow") or "")


async def test_the_root_says_which_base_url_to_set(start: Serve) -> None:
    gateway = await start("")
    reply = await gateway.get("/")
    assert reply.status == 200
    assert f"{gateway.nexus.base_url}/v1" in reply.body.decode()
    async with gateway.client() as client:
        client.send("HEAD", "/")
        head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")


async def scrape(gateway: RunningGateway, accept: str = "") -> dict[str, float]:
    reply = await gateway.get("/metrics", Accept=accept)
    assert reply.status == 200
    lines = [line for line in reply.body.decode().splitlines() if line and not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def test_metrics_count_requests_attempts_and_backends(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    await gateway.chat()
    await gateway.chat(stream=True)
    await gateway.chat("made-up-by-a-client")
    await gateway.outcome(3)
    rows = await scrape(gateway)
    labels = f'backend="{backend.name}"'
    assert rows[f'nexus_requests_total{{{labels},model="m",status="200"}}'] == 2
    assert rows['nexus_requests_total{backend="",model="unknown",status="404"}'] == 1
    assert rows[f'nexus_attempts_total{{{labels},outcome="success"}}'] == 2
    assert rows[f'nexus_request_duration_seconds_count{{{labels},model="m"}}'] == 2
    assert rows[f'nexus_time_to_first_byte_seconds_bucket{{{labels},le="+Inf",model="m"}}'] == 2
    assert rows[f'nexus_backend_up{{{labels},source="static",type="vllm"}}'] == 1
    assert rows[f"nexus_in_flight{{{labels}}}"] == 0
    assert "made-up" not in str(rows)
    reply = await gateway.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (reply.header("content-type") or "").startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")
