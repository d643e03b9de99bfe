"""Keys and tokens in every channel, and everything that comes out of the process: none is in it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.client import RawReply
from tests.support.collector import collector
from tests.support.fixtures import fleet
from tests.support.gateway import chat_body
from tests.support.process import NexusProcess, clean_environ, until

from nexus import testing
from nexus.testing import FakeBackend, FakeFleet, FakeModel

__all__ = ["fleet"]

KEYS = {
    "CANARY_BACKEND": "canary-backend-key/with+signs",
    "CANARY_ADMIN": "canary-admin-token",
    "CANARY_ADDED": "canary-key-of-an-added-backend",
    "NEXUS_API_KEY": "canary-client-key",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-collector=canary-collector-key",
}
VALUE = 'canary-"header"-value'
RELOADED = "canary-value-after-a-reload"
# What only clients and backends send.
SENT = {
    "Authorization": "Basic canary-basic-login",
    "X-Api-Key": "canary-wrong-key",
    "Cookie": "a=1; session=canary-cookie",
    "X-Tenant": "canary-forwarded",
    "Proxy-Authorization": "Bearer canary-proxy-login",
}
ECHO = (
    f"invalid key {KEYS['CANARY_BACKEND']} in Authorization: Bearer {KEYS['CANARY_BACKEND']}, "
    f"X-Org: {VALUE}, see https://user:canary-user-info@billing.test/?api_key=canary-query"
)
PAGES = (
    "/",
    "/health?verbose=1",
    "/health?token=canary-query",
    "/health/ready",
    "/metrics",
    "/v1/models",
    "/admin",
    "/admin/backends",
    "/admin/requests",
    "/admin/config",
    "/admin/no-such-page?canary-query",
)
# A defect of ours, in which everything that is known stands in the exception's text.
DEFECT = """
import os
from nexus.gateway.dispatch import Dispatcher

run = Dispatcher.run

async def fails(self, exchange, envelope, requirements):
    if envelope.model != "explode":
        return await run(self, exchange, envelope, requirements)
    request, specs = exchange.request, self._registry.snapshot.backends
    sent = [value for value in request.headers if value[0].lower() != b"x-tenant"]
    known = [secret.reveal() for backend in specs.values() for secret in backend.spec.secrets]
    print(specs, request)
    others = f"{dict(os.environ)!r} {known!r} {known[0]}\\n{known[-1]}"
    raise RuntimeError(f"{request!r} {specs!r} {sent!r} {others}")

Dispatcher.run = fails
"""


def toml(*backends: FakeBackend, value: str = VALUE) -> str:
    return toml_of(*((each.name, each.url, each.type) for each in backends), value=value)


def toml_of(*backends: tuple[str, str, str], value: str = VALUE) -> str:
    tables = [
        f'[[backends]]\nname = "{name}"\nurl = "{url}"\ntype = "{kind}"\n'
        f'api_key_env = "CANARY_BACKEND"\nforward_headers = ["X-Tenant"]\n'
        f"headers = {{ X-Org = {json.dumps(value)} }}\npriority = {number}\n"
        for number, (name, url, kind) in enumerate(backends)
    ]
    return (
        '[admin]\ntoken_env = "CANARY_ADMIN"\n[health_check]\ninterval_seconds = 1\nfailure_threshold = 1\n'
        "[tracing]\nenabled = true\n[logging]\nenable_content_logging = true\n" + "".join(tables)
    )


@contextmanager
def running(folder: Path, style: str, text: str, **more: str) -> Iterator[NexusProcess]:
    (folder / "patched").mkdir()
    (folder / "patched" / "sitecustomize.py").write_text(DEFECT)
    (folder / "nexus.toml").write_text(text)
    quiet = {"NEXUS_LOG_LEVEL": "debug", "NEXUS_LOG_FORMAT": style, "PYTHONPATH": str(folder / "patched")}
    environ = clean_environ(folder, **KEYS, **quiet, **more)
    nexus = NexusProcess(["-p", "0"], folder, environ)
    try:
        nexus.wait_announced()
        yield nexus
    finally:
        nexus.close()


async def ask(nexus: NexusProcess, method: str, path: str, body: object = b"", **headers: str) -> RawReply:
    async with nexus.client() as client:
        client.send(method, path, body, headers)  # type: ignore[arg-type]  # JSON or bytes
        return await client.read_reply()


async def chat(
    nexus: NexusProcess, model: str = "m", *, stream: bool = False, right: bool = True
) -> RawReply:
    headers = {**SENT, "X-Api-Key": KEYS["NEXUS_API_KEY"]} if right else SENT
    if right:
        headers = {name: value for name, value in headers.items() if name != "Authorization"}
    return await ask(
        nexus,
        "POST",
        "/v1/chat/completions?api_key=canary-query",
        chat_body(model, stream=stream),
        **headers,
    )


async def drive(nexus: NexusProcess, bad: FakeBackend, good: FakeBackend) -> list[RawReply]:
    """Success, failure, failover, streams, cuts, refusals, defects; return what Nexus itself said."""
    said = [await chat(nexus, right=False)]
    for stream in (False, True):
        await chat(nexus, stream=stream)
    echo = json.dumps({"error": {"message": ECHO}}).encode()
    leaks = (("X-Key", KEYS["CANARY_BACKEND"]), ("Set-Cookie", "session=canary-cookie"))
    for code in (500, 401, 429, 404, 302):
        bad.next(testing.Status(code, echo, leaks))
        await chat(nexus)
    bad.always(testing.Status(500, echo, leaks), probes=True)
    good.always(testing.Status(503, echo, leaks), probes=True)
    said += [await chat(nexus), await chat(nexus, stream=True)]
    good.always(None)
    good.next(testing.CutStream(), testing.ErrorBody200(ECHO), testing.Garbage())
    for _ in range(3):
        await chat(nexus, stream=True)
    return said


async def administer(nexus: NexusProcess, url: str) -> list[RawReply]:
    token = {"Authorization": f"Bearer {KEYS['CANARY_ADMIN']}", "Content-Type": "application/json"}
    added = {"name": "added", "url": url, "type": "vllm", "api_key_env": "CANARY_ADDED"}
    replies = [
        await ask(nexus, "POST", "/admin/backends", added, **token),
        await ask(nexus, "POST", "/admin/backends", {"url": "http://u:canary-user-info@h"}, **token),
        await ask(nexus, "POST", "/admin/backends", {**added, "api_key_env": "canary-as-a-name"}, **token),
        await ask(nexus, "POST", "/admin/backends/added/check", **token),
        await ask(nexus, "GET", "/admin/backends", Authorization="Bearer canary-wrong-token"),
    ]
    assert [reply.status for reply in replies] == [201, 400, 400, 200, 401], [r.body for r in replies]
    listed = (await ask(nexus, "GET", "/admin/requests", **token)).json["data"]
    assert len(listed) > 10
    for page in (*PAGES, *(f"/admin/requests/{one['id']}" for one in listed)):
        replies.append(await ask(nexus, "GET", page, **token))
        replies.append(await ask(nexus, "GET", page, **SENT))
    return replies


def counted(nexus: NexusProcess) -> dict[str, int]:
    backends: dict[str, int] = nexus.get("/health")[1]["backends"]
    return backends


def leaked(text: str) -> list[str]:
    return [text[max(0, at - 80) : at + 60] for at in range(len(text)) if text.startswith("canary-", at)]


@pytest.mark.interpreted("compiled code calls its own methods, and this test puts another in their place")
@pytest.mark.parametrize("style", ["json", "pretty"])
async def test_no_key_comes_out(fleet: FakeFleet, tmp_path: Path, style: str) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m"), FakeModel("explode")])
    good = await fleet.add("vllm", models=[FakeModel("m"), FakeModel("explode")])
    spare = await fleet.add("vllm", models=[FakeModel("m")])
    with (
        collector() as found,
        running(tmp_path, style, toml(bad, good), OTEL_EXPORTER_OTLP_ENDPOINT=found.url) as nexus,
    ):
        await until(lambda: counted(nexus)["healthy"] == 2)
        replies = await drive(nexus, bad, good)
        await until(lambda: counted(nexus)["unhealthy"] > 0)
        replies += await administer(nexus, spare.url)
        replies.append(await chat(nexus, "explode"))
        # Who sends a key as the name of a model reads it back, and administrators do.
        await chat(nexus, KEYS["NEXUS_API_KEY"])
        (tmp_path / "nexus.toml").write_text(toml(bad, good, value=RELOADED))
        nexus.send(signal.SIGHUP)
        await until(lambda: any("Configuration reloaded" in line for line in nexus.said))
        nexus.send(signal.SIGTERM)
        nexus.wait()
        log, out = nexus.errors, "\n".join(nexus.said)
    assert bad.surface_requests[0].header("authorization") == f"Bearer {KEYS['CANARY_BACKEND']}"
    assert "the handler of a request failed" in log
    assert "[key]" in log
    assert "a defect" not in log.replace("by a defect", "")
    for reply in replies:
        assert leaked(f"{reply.status} {reply.headers!r} {reply.body.decode()}") == []
    assert leaked(log) == []
    assert leaked(out) == []
    assert len(found.spans) > 20
    assert leaked(str(found.spans)) == []


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["config", "check"]])
@pytest.mark.parametrize("url", ["http://h", "http://user:canary-user-info@h"])
def test_no_key_is_shown_of_the_configuration(tmp_path: Path, arguments: list[str], url: str) -> None:
    (tmp_path / "nexus.toml").write_text(toml_of(("h", url, "vllm")))
    done = subprocess.run(
        [sys.executable, "-m", "nexus", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=clean_environ(tmp_path, **KEYS),
    )
    assert done.stdout or done.stderr
    assert leaked(done.stdout + done.stderr) == []
