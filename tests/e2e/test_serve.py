"""``nexus serve`` from its start to backends that come later."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import MakeLlama
from tests.e2e.conftest import StartNexus
from tests.support.process import COMMAND, NexusProcess, backends_toml, clean_environ, wait_until

from nexus.demo.llama import LlamaServer


def failed_start(folder: Path, *arguments: str) -> str:
    """Start what cannot start and return the one line that says why."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=clean_environ(folder),
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def chat(nexus: NexusProcess, model: str) -> tuple[int, str | None, Any]:
    """One small chat: status, who answered, and the body."""
    body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    with closing(http.client.HTTPConnection("127.0.0.1", nexus.port, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        response = connection.getresponse()
        return response.status, response.headers["X-Nexus-Backend"], json.loads(response.read())


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = failed_start(tmp_path, "-p", port)
    assert line.startswith(f"Error: port {port} on 127.0.0.1 is in use")


@pytest.mark.parametrize("kind", ["missing", "folder", "binary", "broken"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif kind == "broken":
        path.write_text("[server\nport = 1")
    line = failed_start(tmp_path, "-c", str(path))
    assert line.startswith("Error: ")
    assert str(path) in line


def test_without_configuration_it_says_what_to_do_next(start_nexus: StartNexus) -> None:
    nexus = start_nexus()
    assert nexus.port not in {0, 6398}
    wait_until(lambda: f"Base URL for OpenAI clients: {nexus.url}/v1" in nexus.said)
    wait_until(lambda: "  nexus serve --backend http://127.0.0.1:11434" in nexus.said)
    status, health = nexus.get("/health")
    assert (status, health["status"], health["backends"]["total"]) == (200, "unhealthy", 0)
    assert nexus.get("/v1/models")[1] == {"object": "list", "data": []}
    assert chat(nexus, "m")[0] == 404


@pytest.mark.real
def test_backends_of_the_command_line_are_recognised_and_used(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer]
) -> None:
    first, second = llama_pair
    nexus = start_nexus("--backend", first.url, "--backend", f"second={second.host}:{second.port}/v1/")
    wait_until(lambda: len(nexus.said) >= 4)
    assert sorted(nexus.said[2:]) == sorted(
        [
            f"Found 127.0.0.1:{first.port} (llamacpp): smollm2-135m",
            "Found second (llamacpp): smollm2-135m",
        ]
    )
    assert nexus.backend("second")["slots"] == 2
    status, backend, _ = chat(nexus, "second/smollm2-135m")
    assert (status, backend) == (200, "second")


@pytest.mark.real
@pytest.mark.parametrize("kind", ["typed", "detected"])
def test_a_backend_that_comes_later_is_found_and_used(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer], kind: str
) -> None:
    up, late = llama_pair
    late.kill()
    toml = backends_toml(("up", up.url), ("late", late.url))
    if kind == "detected":
        toml = toml.replace('type = "llamacpp"\n', "")
    nexus = start_nexus(toml=toml)
    wait_until(lambda: len(nexus.said) >= 4)
    assert "Found up (llamacpp): smollm2-135m" in nexus.said
    assert any(line.startswith("Not usable now: late (") and "unhealthy" in line for line in nexus.said)
    assert nexus.get("/health")[1]["status"] == "degraded"
    assert chat(nexus, "smollm2-135m")[:2] == (200, "up")
    late.restart()
    wait_until(lambda: nexus.healthy("late"))
    assert nexus.backend("late")["type"] == "llamacpp"
    assert chat(nexus, "late/smollm2-135m")[:2] == (200, "late")
    events = [line["event"] for line in nexus.log_lines(logger="nexus.health", backend="late")]
    assert events[0] == "backend is unhealthy"
    wait_until(
        lambda: nexus.log_lines(logger="nexus.health", backend="late")[-1]["event"] == "backend is healthy"
    )


@pytest.mark.real
def test_a_fleet_that_is_all_down_at_first_is_served_once_it_is_up(
    start_nexus: StartNexus, make_llama: MakeLlama
) -> None:
    server = make_llama(1)
    server.kill()
    nexus = start_nexus(toml=backends_toml(("late", server.url)))
    assert chat(nexus, "smollm2-135m")[0] == 404  # nobody has ever had that name
    server.launch()
    wait_until(lambda: chat(nexus, "smollm2-135m")[0] == 200)
    server.wait_healthy()
    server.kill()
    status, _, body = chat(nexus, "smollm2-135m")
    assert status in {502, 503}
    wait_until(lambda: not nexus.healthy("late"))
    status, _, body = chat(nexus, "smollm2-135m")
    assert (status, body["error"]["code"]) == (503, "service_unavailable")
    assert body["error"]["context"]["rejections"][0]["backend"] == "late"
