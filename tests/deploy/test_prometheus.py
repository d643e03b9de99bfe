"""A real Prometheus scrapes a real gateway, and is asked all that the dashboard and the rules ask."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.deploy.expressions import RULES, alerts, compared, filled, panels
from tests.docs.pages import ROOT
from tests.support.gateway import backend_toml
from tests.support.process import NexusProcess, nexus_process, until
from tests.support.prometheus import Prometheus, scraping

from nexus.testing import Busy, FakeBackend, FakeFleet, FakeModel, ServerError, Stage, Stall, Status

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(180)]

SETTINGS = """
[metrics]
genai = true
[routing.fallbacks]
"big" = ["small"]
[routing.aliases]
"gpt-*" = "big"
"""
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
GENAI = (
    "gen_ai_server_request_duration_count",
    "gen_ai_server_time_to_first_token_count",
    "gen_ai_server_time_per_output_token_count",
    "gen_ai_client_token_usage_count",
)


async def chat(nexus: NexusProcess, model: str, content: object = "Hello", **fields: object) -> int:
    async with nexus.client() as client:
        message = {"role": "user", "content": content}
        client.send("POST", "/v1/chat/completions", {"model": model, "messages": [message], **fields})
        return (await client.read_reply()).status


async def leave(nexus: NexusProcess, backend: FakeBackend, number: int) -> None:
    """Begin a stream and go away in the middle of it."""
    backend.next(Stall(Stage.BODY, at_event=2))
    async with nexus.client() as client:
        client.send("POST", "/v1/chat/completions", {"model": "small", "messages": [], "stream": True})
        await client.read_reply(until=1)
    await backend.wait_for_departure(number)


async def load(nexus: NexusProcess, backends: list[FakeBackend], number: int) -> None:
    """Requests of every kind: answered, streamed, failed over, fallen back, refused, broken, left."""
    first, second, small = backends
    usage = {"include_usage": True}
    for _ in range(3):
        assert await chat(nexus, "big") == 200
        assert await chat(nexus, "big", stream=True) == 200
        assert await chat(nexus, "big", stream=True, stream_options=usage) == 200
    for backend in (first, second):
        backend.next(ServerError())
    # Whoever is asked first fails; the other one may, too, and then the fallback serves.
    assert await chat(nexus, "gpt-4") == 200
    for backend in (first, second):
        backend.clear()
        backend.next(Busy(retry_after="1"))
    assert await chat(nexus, "big") == 200
    small.next(Status(400, b'{"error": {"message": "no"}}'))
    assert await chat(nexus, "small") == 400
    small.next(ServerError())
    assert await chat(nexus, "small") == 502
    assert await chat(nexus, "small", [PICTURE]) == 503
    assert await chat(nexus, "made-up-by-a-client") == 404
    await leave(nexus, small, number)
    for backend in (first, second):
        backend.clear()


def test_promtool_finds_the_rules_right() -> None:
    for kind, path in (("rules", RULES), ("config", ROOT / "deploy/prometheus/prometheus.yml")):
        subprocess.run(["promtool", "check", kind, path], check=True, capture_output=True, timeout=60)


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    told = subprocess.run(
        ["promtool", "test", "rules", ROOT / "tests/deploy/alerts_test.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    cases = (ROOT / "tests/deploy/alerts_test.yml").read_text(encoding="utf-8")
    assert [name for name in alerts() if f"alertname: {name}\n" not in cases] == []


async def test_every_expression_returns_a_series_after_a_load(fleet: FakeFleet, tmp_path: Path) -> None:
    first = await fleet.add("vllm", models=["big"])
    second = await fleet.add("vllm", models=["big"])
    small = await fleet.add("llamacpp", models=[FakeModel("small", vision=False)])
    backends = [first, second, small]
    with nexus_process(tmp_path, toml=backend_toml(*backends) + SETTINGS) as nexus:
        await until(lambda: nexus.healthy(*(backend.name for backend in backends)))
        await load(nexus, backends, 1)
        stack = scraping(nexus.port, tmp_path)
        prometheus = await asyncio.to_thread(stack.__enter__)
        try:
            await asyncio.to_thread(prometheus.wait_for_scrape)
            await load(nexus, backends, 2)
            for _ in range(2):
                await asyncio.to_thread(prometheus.wait_for_scrape)
            await asyncio.to_thread(evaluate, prometheus)
        finally:
            await asyncio.to_thread(stack.__exit__, None, None, None)
    assert "Traceback" not in nexus.errors


def evaluate(prometheus: Prometheus) -> None:
    """Ask everything; collect what has no answer."""
    asked = {f"panel {title}": filled(expression) for title, expression in panels()}
    asked |= {f"alert {name}": compared(expression) for name, expression in alerts().items()}
    asked |= {f"genai {name}": name for name in GENAI}
    silent = {what: expression for what, expression in asked.items() if not prometheus.query(expression)}
    assert silent == {}
    for expression in alerts().values():
        prometheus.query(expression)
    (target,) = prometheus.get("/api/v1/targets")["activeTargets"]
    assert target["lastError"] == ""
    models = {row["metric"]["model"] for row in prometheus.query("nexus_requests_total")}
    assert models == {"big", "small", "unknown"}
