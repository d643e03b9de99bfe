from __future__ import annotations

import json
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from tests.cli.support import Command, Stub

HEALTHY = {
    "status": "healthy",
    "version": "0.1.0",
    "uptime_seconds": 3725.4,
    "backends": {"total": 2, "healthy": 2, "unhealthy": 0},
    "models": 3,
}
ITEMS: list[dict[str, object]] = [
    {
        "id": "a",
        "name": "workstation",
        "type": "ollama",
        "status": "healthy",
        "reason": "",
        "since": 1.0,
        "url": "http://127.0.0.1:11434",
        "models": ["llama3:8b", "qwen3:4b"],
        "in_flight": 1,
        "slots": 4,
        "priority": 50,
        "source": "static",
        "draining": False,
        "version": "0.9.3",
    },
    {
        "id": "b",
        "name": "rack",
        "type": "vllm",
        "status": "unhealthy",
        "reason": "connection refused",
        "since": None,
        "url": "http://127.0.0.1:8000",
        "models": [],
        "in_flight": 0,
        "slots": None,
        "priority": 50,
        "source": "static",
        "draining": True,
        "version": "",
    },
]
COMMANDS = [("models",), ("backends", "list"), ("health",)]


@pytest.fixture
def fleet(stub: Stub) -> Stub:
    stub.answer("/health", HEALTHY)
    stub.answer("/health?verbose=1", {**HEALTHY, "backends": {**HEALTHY["backends"], "items": ITEMS}})  # type: ignore[dict-item]
    stub.answer(
        "/v1/models",
        {
            "object": "list",
            "data": [
                {
                    "id": "llama3:8b",
                    "owned_by": "ollama",
                    "context_length": 8192,
                    "capabilities": {"tools": True, "vision": False, "json": None},
                },
                {"id": "evil\x1b[2Jname", "owned_by": "x", "available": False},
            ],
        },
    )
    return stub


def test_health_for_people(nexus: Command, fleet: Stub) -> None:
    result = nexus("health", "--url", fleet.url)
    assert result.exit_code == 0
    assert "healthy: nexus 0.1.0, up 1 h 2 min" in result.stdout
    assert "backends: 2 of 2 healthy; models: 3" in result.stdout


def test_health_for_scripts(nexus: Command, fleet: Stub) -> None:
    result = nexus("health", "--url", fleet.url, "--json")
    assert json.loads(result.stdout) == HEALTHY


@pytest.mark.parametrize(
    ("source", "found_by", "shown"),
    [
        ("static", "", "static"),
        ("local", "port 11434 on this computer", "local: port 11434 on this computer"),
        ("manual", "/admin/backends", "manual: /admin/backends"),
        ("mdns", "mDNS 'Kitchen' (_llm._tcp)", "mDNS 'Kitchen' (_llm._tcp)"),
        ("peer", "peer box:8000", "peer box:8000"),
    ],
)
def test_where_a_backend_came_from_is_told_once(
    nexus: Command, stub: Stub, source: str, found_by: str, shown: str
) -> None:
    item: dict[str, object] = {**ITEMS[0], "source": source, "found_by": found_by}
    backends = {"total": 1, "healthy": 1, "items": [item]}
    stub.answer("/health?verbose=1", {**HEALTHY, "backends": backends})
    (line,) = [ln for ln in nexus("backends", "list", "--url", stub.url).stdout.splitlines() if "work" in ln]
    assert f"  {shown}  " in line


@pytest.mark.parametrize(("status", "code"), [("healthy", 0), ("degraded", 0), ("unhealthy", 1)])
def test_healths_exit_code_is_for_container_checks(
    nexus: Command, stub: Stub, status: str, code: int
) -> None:
    stub.answer("/health", {**HEALTHY, "status": status})
    assert nexus("health", "--url", stub.url).exit_code == code
    assert nexus("health", "--url", stub.url, "--json").exit_code == code


@pytest.mark.parametrize(("total", "advice"), [(0, "nexus serve --backend"), (2, "nexus backends list")])
def test_unhealthy_says_what_to_do(nexus: Command, stub: Stub, total: int, advice: str) -> None:
    stub.answer("/health", {**HEALTHY, "status": "unhealthy", "backends": {"total": total, "healthy": 0}})
    assert advice in nexus("health", "--url", stub.url).stderr


def test_models_for_people(nexus: Command, fleet: Stub) -> None:
    result = nexus("models", "--url", fleet.url)
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if "llama3:8b" in line)
    assert line.split() == ["llama3:8b", "yes", "8192", "tools", "ollama"]


def test_a_name_cannot_move_the_terminals_cursor(nexus: Command, fleet: Stub) -> None:
    assert "\x1b" not in nexus("models", "--url", fleet.url).stdout


def test_models_for_scripts(nexus: Command, fleet: Stub) -> None:
    result = nexus("models", "--url", fleet.url, "--json")
    assert [row["id"] for row in json.loads(result.stdout)["data"]] == ["llama3:8b", "evil\x1b[2Jname"]


def test_no_models_says_where_to_look(nexus: Command, stub: Stub) -> None:
    stub.answer("/v1/models", {"object": "list", "data": []})
    result = nexus("models", "--url", stub.url)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nexus backends list" in result.stderr


def test_backends_for_people(nexus: Command, fleet: Stub) -> None:
    result = nexus("backends", "list", "--url", fleet.url)
    assert result.exit_code == 0
    assert "ollama 0.9.3" in result.stdout
    assert "1/4" in result.stdout
    assert "unhealthy, draining" in result.stdout
    assert "connection refused" in result.stdout


def test_backends_by_status(nexus: Command, fleet: Stub) -> None:
    result = nexus("backends", "list", "--status", "unhealthy", "--json", "--url", fleet.url)
    assert [item["name"] for item in json.loads(result.stdout)] == ["rack"]


def test_no_backend_in_that_status(nexus: Command, fleet: Stub) -> None:
    result = nexus("backends", "list", "--status", "loading", "--url", fleet.url)
    assert (result.exit_code, result.stderr) == (0, "No backend is loading.\n")


def test_backends_are_for_the_own_computer(nexus: Command, stub: Stub) -> None:
    stub.answer("/health?verbose=1", HEALTHY)
    result = nexus("backends", "list", "--url", stub.url)
    assert result.exit_code == 1
    assert "own computer" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_there_says_how_to_start_it(nexus: Command, command: tuple[str, ...]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = nexus(*command, "--url", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert "nexus serve" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"[" * 100_000, b"{}"])
def test_something_else_there_is_said(
    nexus: Command, stub: Stub, command: tuple[str, ...], body: bytes
) -> None:
    for path in ("/health", "/health?verbose=1", "/v1/models"):
        stub.answer(path, body)
    result = nexus(*command, "--url", stub.url)
    assert result.exit_code == 1
    assert "is not Nexus" in result.stderr or (command, body) == (("backends", "list"), b"{}")


def test_bytes_that_are_not_http_are_not_nexus(nexus: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        result = nexus("health", "--url", f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 1
    assert "is not Nexus" in result.stderr


def test_the_servers_own_error_is_shown(nexus: Command, stub: Stub) -> None:
    stub.answer("/v1/models", {"error": {"message": "Host is not allowed", "code": "x"}}, 421)
    result = nexus("models", "--url", stub.url)
    assert (result.exit_code, result.stderr) == (1, f"Error: {stub.url} answered 421: Host is not allowed\n")


def test_a_key_is_asked_for(nexus: Command, stub: Stub) -> None:
    stub.answer("/v1/models", {"error": {"message": "no key"}}, 401)
    assert "--api-key KEY or set NEXUS_API_KEY" in nexus("models", "--url", stub.url).stderr


def test_the_key_is_sent_from_flag_and_environment(
    nexus: Command, fleet: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    nexus("models", "--url", fleet.url, "--api-key", "one")
    monkeypatch.setenv("NEXUS_API_KEY", "two")
    nexus("models", "--url", fleet.url)
    assert [key for _, key in fleet.asked] == ["Bearer one", "Bearer two"]


def test_the_configured_server_is_asked_with_its_own_key(nexus: Command, fleet: Stub, tmp_path: Path) -> None:
    port = fleet.url.rpartition(":")[2]
    (tmp_path / "keys.txt").write_text("local-key-of-this-test\n")
    (tmp_path / "nexus.toml").write_text(
        f'[server]\nhost = "0.0.0.0"\nport = {port}\napi_keys_file = "keys.txt"\n'
    )
    assert nexus("models").exit_code == 0
    assert fleet.asked == [("/v1/models", "Bearer local-key-of-this-test")]


def test_the_configured_certificate_is_trusted_whatever_it_names(nexus: Command, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("gateway.example")
    pem = tmp_path / "cert.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    body = json.dumps(HEALTHY).encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with context.wrap_socket(peer, server_side=True) as secured:
                secured.recv(4096)
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        thread = threading.Thread(target=answer)
        thread.start()
        (tmp_path / "nexus.toml").write_text(
            f'[server]\nport = {listener.getsockname()[1]}\ntls_cert = "cert.pem"\n'
        )
        result = nexus("health")
        thread.join()
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "http://", "http://h:0", "http://h:99999", "http://u:p@h", "http://h/api", "http://h?q"],
)
def test_a_url_that_cannot_be_one_is_refused(nexus: Command, url: str) -> None:
    result = nexus("health", "--url", url)
    assert result.exit_code == 2
    assert "--url" in result.stderr
    assert "u:p" not in result.stderr


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/v1", "{}/v1/"])
def test_a_base_url_is_understood_as_people_write_it(nexus: Command, fleet: Stub, form: str) -> None:
    assert nexus("health", "--url", form.format(fleet.url)).exit_code == 0
    assert nexus("health", "--url", form.format(fleet.url.removeprefix("http://"))).exit_code == 0


def test_a_wrong_configuration_is_said(nexus: Command, tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text("[server]\nprot = 1\n")
    result = nexus("health")
    assert result.exit_code == 2
    assert "port" in result.stderr
