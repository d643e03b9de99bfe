"""A real llama.cpp server that starts after Nexus: found on its usual port, listed and used, with no restart.

In a network namespace, where that port is free.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.load import whole
from tests.support.namespaces import in_namespace
from tests.support.process import NexusProcess, bare_nexus, until

from nexus.demo.llama import LlamaServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

PORT = 8080
MODEL = "smollm2-135m"
LOOKS_SECONDS = 0.5
GRACE_SECONDS = 1.0


def configured(folder: Path) -> str:
    """Write a configuration that only makes Nexus look more often."""
    path = folder / "nexus.toml"
    path.write_text(f"[discovery]\nprobe_seconds = {LOOKS_SECONDS}\ngrace_period_seconds = {GRACE_SECONDS}\n")
    return str(path)


def models(nexus: NexusProcess) -> list[str]:
    return [row["id"] for row in nexus.get("/v1/models")[1]["data"]]


def backends(nexus: NexusProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = nexus.get("/health?verbose=1")[1]["backends"]["items"]
    return found


async def chat(nexus: NexusProcess, *, stream: bool) -> bool:
    """One chat; tells whether it came whole."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4,
        "stream": stream,
    }
    async with nexus.client() as client:
        client.send("POST", "/v1/chat/completions", body)
        return whole(stream, await client.read_reply())


@in_namespace
async def test_a_server_that_starts_later_is_used_and_comes_back(tmp_path: Path) -> None:
    with bare_nexus(tmp_path, "-c", configured(tmp_path)) as nexus:
        await asyncio.to_thread(nexus.wait_announced)
        await until(lambda: any(line.startswith("No inference server was found") for line in nexus.said))
        assert (models(nexus), backends(nexus)) == ([], [])
        with LlamaServer(port=PORT) as server:
            began = time.monotonic()
            await until(lambda: models(nexus) == [MODEL])
            listed = time.monotonic() - began
            for stream in (False, True):
                assert await chat(nexus, stream=stream)
            (row,) = backends(nexus)
            assert (row["type"], row["status"]) == ("llamacpp", "healthy")
            assert row["found_by"] == f"port {PORT} on this computer"
            await until(lambda: f"Found llamacpp (llamacpp, {row['found_by']}): {MODEL}" in nexus.said)
            server.kill()
            # Nobody asks for it: its absence is seen by looking, and it is forgotten after the grace period.
            await until(lambda: backends(nexus) == [])
            server.restart()
            began = time.monotonic()
            await until(lambda: models(nexus) == [MODEL])
            back = time.monotonic() - began
            assert await chat(nexus, stream=True)
            (again,) = backends(nexus)
            assert (again["id"], again["name"]) == (row["id"], row["name"])
        assert "Traceback" not in nexus.errors
    print(f"listed {listed:.2f} s after it was up, {back:.2f} s after it was up again")  # noqa: T201
