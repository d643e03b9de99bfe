"""Traces of real requests through the real process, as a collector receives them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.support.client import RawClient, RawReply
from tests.support.collector import Collector, attributes, collector
from tests.support.fixtures import fleet
from tests.support.gateway import backend_toml, chat_body
from tests.support.process import COMMAND, NexusProcess, clean_environ, nexus_process, until

from nexus import testing
from nexus.testing import FakeFleet, FakeModel

__all__ = ["fleet"]

ON = "[tracing]\nenabled = true\n"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def variables(found: Collector, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "OTEL_BSP_SCHEDULE_DELAY": "50", **more}


async def chat(nexus: NexusProcess, model: str = "m", *, stream: bool = False, **headers: str) -> RawReply:
    async with RawClient("127.0.0.1", nexus.port) as client:
        client.send("POST", "/v1/chat/completions", chat_body(model, stream=stream), headers)
        return await client.read_reply()


async def exported(found: Collector, count: int) -> tuple[Span, list[Span]]:
    """Wait for so many spans; return the request's and its attempts', in their order."""
    await until(lambda: len(found.spans) >= count)
    assert len(found.spans) == count
    (root,) = found.named(Span.SPAN_KIND_SERVER)
    return root, sorted(found.named(Span.SPAN_KIND_CLIENT), key=lambda span: span.start_time_unix_nano)


async def test_a_failover_is_one_span_and_two_below_it(fleet: FakeFleet, tmp_path: Path) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    good = await fleet.add("ollama", models=[FakeModel("m")])
    toml = ON + backend_toml(bad, good, **{bad.name: "priority = 1"})
    with collector() as found, nexus_process(tmp_path, toml=toml, **variables(found)) as nexus:
        await until(lambda: nexus.healthy(bad.name, good.name))
        bad.always(testing.ServerError())
        begun = time.time()
        reply = await chat(
            nexus, stream=True, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=1,other=2"
        )
        root, (first, second) = await exported(found, 3)
        await until(lambda: nexus.log_lines(event="request") != [])
        (line,) = nexus.log_lines(event="request")
    assert reply.status == 200
    assert {span.trace_id.hex() for span in (root, first, second)} == {TRACE}
    assert root.parent_span_id.hex() == SPAN
    assert root.trace_state == "vendor=1,other=2"
    assert first.parent_span_id == second.parent_span_id == root.span_id
    assert root.name == first.name == second.name == "chat m"
    whole = attributes(root.attributes)
    assert whole["gen_ai.operation.name"] == "chat"
    assert whole["gen_ai.request.model"] == whole["gen_ai.response.model"] == "m"
    assert whole["gen_ai.provider.name"] == "ollama"
    assert whole["nexus.backend"] == good.name
    assert whole["nexus.request_id"] == line["id"]
    assert (whole["nexus.attempts"], whole["nexus.route_reason"]) == (2, "failover")
    assert whole.get("gen_ai.usage.output_tokens") == line["completion_tokens"]
    assert whole.get("nexus.estimated_tokens") == line["estimated_tokens"]
    assert "error.type" not in whole
    failed, served = attributes(first.attributes), attributes(second.attributes)
    assert (failed["error.type"], failed["http.response.status_code"]) == ("server_error", 500)
    assert (failed["server.address"], failed["server.port"]) == ("127.0.0.1", bad.port)
    assert (served["server.port"], served["gen_ai.provider.name"]) == (good.port, "ollama")
    assert first.status.code == Status.STATUS_CODE_ERROR
    assert second.status.code == root.status.code == Status.STATUS_CODE_UNSET
    for span in (root, first, second):
        assert begun - 1 <= span.start_time_unix_nano / 1e9
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= (time.time() + 1) * 1e9
    assert root.start_time_unix_nano <= first.start_time_unix_nano
    assert first.end_time_unix_nano <= second.end_time_unix_nano <= root.end_time_unix_nano + 1_000_000
    # What a backend traces hangs below the attempt that asked it.
    for backend, span in ((bad, first), (good, second)):
        (asked,) = backend.surface_requests
        assert asked.header("traceparent") == f"00-{TRACE}-{span.span_id.hex()}-01"
        assert asked.header("tracestate") == "vendor=1,other=2"
    assert found.resource["service.name"] == "nexus"


@pytest.mark.parametrize("given", ["", "00-xyz", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
async def test_without_a_readable_parent_a_trace_begins(fleet: FakeFleet, tmp_path: Path, given: str) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    more = {"OTEL_SERVICE_NAME": "edge", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=secret"}
    with (
        collector() as found,
        nexus_process(tmp_path, toml=ON + backend_toml(backend), **variables(found, **more)) as nexus,
    ):
        await until(lambda: nexus.healthy(backend.name))
        reply = await chat(nexus, traceparent=given, tracestate="a=1") if given else await chat(nexus)
        assert reply.status == 200
        root, (attempt,) = await exported(found, 2)
    assert root.parent_span_id == b""
    assert root.trace_id.hex() not in (TRACE, "0" * 32)
    (asked,) = backend.surface_requests
    assert asked.header("traceparent") == f"00-{root.trace_id.hex()}-{attempt.span_id.hex()}-01"
    assert asked.header("tracestate") is None
    assert found.resource["service.name"] == "edge"
    assert found.headers["x-key"] == "secret"


async def test_a_parent_that_is_not_sampled_is_followed(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    with (
        collector() as found,
        nexus_process(tmp_path, toml=ON + backend_toml(backend), **variables(found)) as nexus,
    ):
        await until(lambda: nexus.healthy(backend.name))
        await chat(nexus, traceparent=f"00-{TRACE}-{SPAN}-00")
        await chat(nexus, traceparent=f"00-{TRACE}-{SPAN}-01")
        root, _ = await exported(found, 2)
    assert root.parent_span_id.hex() == SPAN
    silent, _ = backend.surface_requests
    told = silent.header("traceparent") or ""
    assert told.startswith(f"00-{TRACE}-")
    assert told.endswith("-00")
    assert SPAN not in told


async def test_what_failed_says_so(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    with (
        collector() as found,
        nexus_process(tmp_path, toml=ON + backend_toml(backend), **variables(found)) as nexus,
    ):
        await until(lambda: nexus.healthy(backend.name))
        backend.always(testing.CutStream())
        await chat(nexus, stream=True)
        root, (attempt,) = await exported(found, 2)
        assert attributes(root.attributes)["error.type"] == "upstream_closed"
        assert root.status.code == attempt.status.code == Status.STATUS_CODE_ERROR
        found.spans.clear()
        await chat(nexus, "a-name-that-nobody-has")
        root, _ = await exported(found, 1)
    assert root.name == "chat"
    assert attributes(root.attributes)["http.response.status_code"] == 404
    assert root.status.code == Status.STATUS_CODE_UNSET


async def test_what_is_left_is_exported_at_the_end(fleet: FakeFleet, tmp_path: Path) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with (
        collector() as found,
        nexus_process(tmp_path, toml=ON + backend_toml(backend), **variables(found, **slow)) as nexus,
    ):
        await until(lambda: nexus.healthy(backend.name))
        await chat(nexus)
        assert found.spans == []
        nexus.send(signal.SIGTERM)
        assert nexus.wait() == 0
        assert len(found.spans) == 2


@pytest.mark.parametrize("kind", ["nobody", "failing", "silent"])
async def test_a_collector_that_is_of_no_use_hurts_nobody(
    fleet: FakeFleet, tmp_path: Path, kind: str
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
    with collector() as found, socket.create_server(("127.0.0.1", 0)) as silent:
        found.status = 503
        url = {
            "nobody": "http://127.0.0.1:9",
            "failing": found.url,
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }[kind]
        environ = {**variables(found, **small), "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        with nexus_process(tmp_path, toml=ON + backend_toml(backend), **environ) as nexus:
            await until(lambda: nexus.healthy(backend.name))
            for _ in range(60):
                assert (await chat(nexus)).status == 200
            begun = time.monotonic()
            nexus.send(signal.SIGTERM)
            assert nexus.wait() == 0
            assert time.monotonic() - begun < 15
            # Whatever the exporter says, it says in the log's format.
            assert all(line.startswith("{") for line in nexus.errors.splitlines())


def modules(folder: Path, toml: str, **environ: str) -> tuple[int, str]:
    """Start and end a gateway that tells which modules it has imported; return its exit code and words."""
    (folder / "nexus.toml").write_text(toml)
    script = (
        "import asyncio, sys\nfrom nexus.server import run as _\nfrom nexus.server import compose\n"
        "started = compose.Nexus.start\n"
        "async def start(self):\n"
        "    await started(self)\n"
        "    print('OTEL', any(name.split('.')[0] == 'opentelemetry' for name in sys.modules), flush=True)\n"
        "    sys.exit(0)\n"
        "compose.Nexus.start = start\n"
        "from nexus.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "serve", "-p", "0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=clean_environ(folder, **environ),
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("toml", "environ", "imported"),
    [("", {}, False), (ON, {}, True), (ON, {"OTEL_SDK_DISABLED": "true"}, False)],
)
def test_off_nothing_of_it_is_imported(
    tmp_path: Path, toml: str, environ: dict[str, str], imported: bool
) -> None:
    code, said = modules(tmp_path, toml, **environ)
    assert code == 0
    assert f"OTEL {imported}" in said


def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    (tmp_path / "nexus.toml").write_text(ON)
    done = subprocess.run(
        [*COMMAND, "-p", "0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=clean_environ(tmp_path, PYTHONPATH=str(tmp_path)),
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pip install 'nexus-gateway[otel]'" in line
