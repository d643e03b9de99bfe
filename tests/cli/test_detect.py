"""``nexus backends detect`` against real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme
from tests.cli.support import Command, Stub

from nexus.testing import FakeBackend, FakeFleet


@contextmanager
def serving(kind: str, **options: object) -> Iterator[FakeBackend]:
    """A fake on a loop of its own: the command runs one, too."""
    started: list[FakeBackend] = []
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        async with FakeFleet() as fleet:
            started.append(await fleet.add(kind, models=["m"], **options))  # type: ignore[arg-type]
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield started[0]
    finally:
        stop[0]()
        thread.join()


def test_verdict_version_and_evidence_are_shown(nexus: Command) -> None:
    with serving("localai") as fake:
        result = nexus("backends", "detect", f"127.0.0.1:{fake.port}")
    assert result.exit_code == 0
    said = "localai v4.9.0 (82c191a): /.well-known/localai.json answers with its version."
    assert result.output.splitlines() == [
        f"http://127.0.0.1:{fake.port}/v1 is {said}",
        "  GET /v1/models: 200, lists 1 model, owner not said",
        "  GET /.well-known/localai.json: 200, version: v4.9.0 (82c191a)",
    ]


def test_json_holds_the_same(nexus: Command) -> None:
    with serving("ollama") as fake:
        result = nexus("backends", "detect", "--json", fake.url)
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "url": f"{fake.url}/v1",
        "type": "ollama",
        "evidence": '/api/version answers and its models are owned_by "library"',
        "version": "0.33.0",
        "proven": True,
        "serves": True,
        "steps": [
            "GET /v1/models: 200, lists 1 model, owned_by library",
            "GET /api/version: 200, version: 0.33.0",
        ],
    }


def test_the_key_is_sent_and_never_shown(nexus: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    with serving("sglang", key="sk-very-secret") as fake:
        without = nexus("backends", "detect", fake.url)
        result = nexus("backends", "detect", fake.url, "--api-key-env", "THE_KEY")
        assert fake.requests[-1].header("authorization") == "Bearer sk-very-secret"
    assert "generic (not recognised): it refuses the key (401)" in without.output
    assert (without.exit_code, result.exit_code) == (0, 0)
    assert "is sglang" in result.output
    assert "secret" not in result.output


@pytest.mark.parametrize(("arguments", "said"), [
    (("--api-key-env", "sk-pasted-key"), "the name of an environment variable, not its value"),
    (("--api-key-env", "NOT_SET_ANYWHERE"), "NOT_SET_ANYWHERE is not set"),
])  # fmt: skip
def test_a_key_that_cannot_be_had_is_refused(nexus: Command, arguments: tuple[str, ...], said: str) -> None:
    result = nexus("backends", "detect", "localhost:1", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "pasted" not in result.output


@pytest.mark.parametrize("url", ["ftp://x", "http://me:sk-secret@host", "8000", "http://h/v1/models", ""])
def test_what_is_no_url_is_refused_as_in_a_configuration(nexus: Command, url: str) -> None:
    result = nexus("backends", "detect", url)
    assert result.exit_code == 2
    assert result.output.startswith("Error: URL: expected")
    assert "secret" not in result.output


def test_nothing_there(nexus: Command) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = nexus("backends", "detect", url)
        as_json = nexus("backends", "detect", "--json", url)
    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert result.output.splitlines()[-1].startswith(f"Error: Nothing answers at {url}/v1: no connection")
    assert '"type": null' in as_json.output


def test_what_is_no_inference_server(nexus: Command, stub: Stub) -> None:
    stub.answer("/v1/models", b"<!doctype html><title>\x1b[31mhello</title>")
    result = nexus("backends", "detect", stub.url)
    assert result.exit_code == 1
    assert result.output.splitlines()[0].startswith("  GET /v1/models: 200, an HTML page")
    assert "is no inference server: /models answers 200 without a model list" in result.output
    assert "\x1b" not in result.output


def test_a_server_that_cannot_say_yet(nexus: Command, stub: Stub) -> None:
    stub.answer("/v1/models", {"error": "warming up"}, 503)
    result = nexus("backends", "detect", stub.url)
    assert result.exit_code == 1
    assert "cannot say what it is now (503, error: warming up" in result.output


def test_a_path_is_kept(nexus: Command, stub: Stub) -> None:
    stub.answer("/engines/v1/models", {"data": [{"id": "m", "owned_by": "docker"}]})
    result = nexus("backends", "detect", f"{stub.url}/engines/v1/")
    assert result.exit_code == 0
    assert "GET /engines/v1/models: 200" in result.output
    assert [path for path, _ in stub.asked] == ["/engines/v1/models", "/engines/api/version"]


def test_an_untrusted_certificate_is_named(nexus: Command) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with suppress(OSError):
                context.wrap_socket(connection, server_side=True)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        result = nexus("backends", "detect", f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 1
    assert "certificate" in result.output
    assert result.output.splitlines()[-1].endswith("Start the server there, or mend the URL.")
