from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.config.source import Source
from nexus.domain import BackendStatus, BackendType
from nexus.observe.writer import LineWriter
from nexus.server import reload as module
from nexus.server.reload import Reloader
from nexus.testing import FakeFleet, Stall
from nexus.testing.faults import Stage

OFF = "[discovery]\nenabled = false\n"


class Reloads:
    """A gateway in this process, its file, and what a reload says."""

    def __init__(self, gateway: RunningGateway, folder: Path) -> None:
        self.gateway = gateway
        self.path = folder / "nexus.toml"
        self.said: list[str] = []
        source = Source(self.path, {}, {"server.port": "0"})
        self.writer = LineWriter(2)
        self.reloader = Reloader(gateway.nexus, source, self.writer, self.said.append)

    async def to(self, toml: str, *, asked: bool = True) -> list[str]:
        """Write the file, reload, and return what was said."""
        self.said.clear()
        await asyncio.to_thread(self.path.write_text, OFF + toml)
        await self.reloader.reload(asked=asked)
        return list(self.said)


Begin = Callable[[str], Awaitable[Reloads]]


@pytest.fixture
def levels() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger("nexus")
    before = root.handlers[:], root.level, root.propagate
    others = logging.getLogger()
    kept = others.handlers[:]
    yield
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])
    others.handlers[:] = kept
    logging.getLogger("nexus.http").setLevel(logging.NOTSET)


@pytest.fixture
def begin(start: Serve, tmp_path: Path) -> Begin:
    async def begin(toml: str) -> Reloads:
        return Reloads(await start(OFF + toml), tmp_path)

    return begin


async def test_what_is_the_same_is_left_alone(fleet: FakeFleet, begin: Begin) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    reloads = await begin(backend_toml(one))
    before = reloads.gateway.nexus.registry.get(one.name)
    asked = len(one.requests)
    assert await reloads.to(backend_toml(one), asked=False) == []
    assert await reloads.to(backend_toml(one)) == [
        f"Configuration reloaded from {reloads.path}: nothing has changed"
    ]
    await reloads.to(backend_toml(one) + "[routing]\nmax_retries = 0\n")
    assert reloads.gateway.nexus.registry.get(one.name) is before
    assert len(one.requests) == asked
    assert reloads.gateway.nexus.registry.snapshot.rules.max_retries == 0


async def test_a_backend_that_takes_anothers_place_serves_at_once(fleet: FakeFleet, begin: Begin) -> None:
    one, two = await fleet.add("vllm", models=["m"]), await fleet.add("ollama", models=["m"])
    reloads = await begin(backend_toml(one))
    await reloads.to(backend_toml(two))
    registry = reloads.gateway.nexus.registry
    assert [backend.name for backend in registry.snapshot.backends.values()] == [two.name]
    assert registry.snapshot.backends[two.name].status is BackendStatus.HEALTHY
    moved = backend_toml(one).replace(f'name = "{one.name}"', f'name = "{two.name}"')
    await reloads.to(moved)
    assert registry.snapshot.backends[two.name].status is BackendStatus.HEALTHY
    assert (await reloads.gateway.chat()).status == 200
    assert one.requests[-1].path == "/v1/chat/completions"


async def test_corrections_of_a_backend_are_in_force_at_once(fleet: FakeFleet, begin: Begin) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    typed = backend_toml(one).replace('type = "vllm"', 'type = "generic"')
    await reloads.to(typed)
    registry = reloads.gateway.nexus.registry
    assert registry.snapshot.backends[one.name].status is BackendStatus.HEALTHY
    assert registry.snapshot.backends[one.name].type is BackendType.GENERIC
    await reloads.to(typed.replace('type = "generic"', 'type = "generic"\nmodels = { mine = "m" }'))
    assert [model.id for model in registry.snapshot.backends[one.name].models] == ["mine"]
    assert (await reloads.gateway.chat("mine")).status == 200


async def test_one_that_does_not_answer_holds_nobody_up_for_long(
    fleet: FakeFleet, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    one, silent = await fleet.add("vllm", models=["m"]), await fleet.add("vllm", models=["n"])
    silent.always(Stall(stage=Stage.HEAD), probes=True)
    reloads = await begin(backend_toml(one))
    await reloads.to(backend_toml(one, silent))
    assert reloads.gateway.nexus.registry.snapshot.backends[silent.name].status is BackendStatus.UNKNOWN
    silent.clear()


async def test_a_reload_that_is_cut_short_changes_nothing(fleet: FakeFleet, begin: Begin) -> None:
    one, silent = await fleet.add("vllm", models=["m"]), await fleet.add("vllm", models=["n"])
    silent.always(Stall(stage=Stage.HEAD), probes=True)
    reloads = await begin(backend_toml(one))
    reloads.path.write_text(OFF + backend_toml(silent))
    before = reloads.gateway.nexus.loaded
    reloads.reloader.start()
    reloads.reloader.ask()
    await reloads.gateway.until(lambda: bool(silent.requests))
    await reloads.reloader.close()
    assert reloads.gateway.nexus.loaded is before
    assert one.name in reloads.gateway.nexus.registry.snapshot.backends
    assert (await reloads.gateway.chat()).status == 200


async def test_time_limits_hold_for_the_next_attempt(fleet: FakeFleet, begin: Begin) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    assert await reloads.to(backend_toml(one) + "[timeouts]\nfirst_byte_seconds = 0.1\n") == [
        f"Configuration reloaded from {reloads.path}: 1 change",
        "  timeouts.first_byte_seconds: 600 -> 0.1",
    ]
    one.next(Stall(stage=Stage.HEAD))
    assert (await reloads.gateway.chat()).status == 504


async def test_doors_and_readiness_change(fleet: FakeFleet, begin: Begin) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    gateway = reloads.gateway
    page = {"origin": "https://page.example"}
    assert (await gateway.chat(headers=page)).status == 403
    await reloads.to(backend_toml(one) + "[server]\ncors_origins = ['https://page.example']\n")
    assert (await gateway.chat(headers=page)).status == 200
    await one.kill()
    await gateway.chat()
    assert (await gateway.get("/health/ready")).status == 200
    await reloads.to(backend_toml(one) + "[server]\nready_needs_backend = true\n")
    assert (await gateway.get("/health/ready")).status == 503


@pytest.mark.usefixtures("levels")
async def test_content_is_logged_and_no_longer(
    fleet: FakeFleet, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    lines: list[bytes] = []
    monkeypatch.setattr(reloads.writer, "write", lines.append)
    for text in ("enable_content_logging = true\nformat = 'json'\n", "format = 'json'\n"):
        await reloads.to(backend_toml(one) + "[logging]\n" + text)
        await reloads.gateway.chat()
    await reloads.gateway.outcome(2)
    contents = [line for line in map(json.loads, lines) if line["logger"] == "nexus.content"]
    assert [line["request"] for line in contents] == ["user: Hello"]


async def test_checks_follow_other_rules(fleet: FakeFleet, begin: Begin) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    asked = len(one.requests)
    await reloads.to(backend_toml(one) + "[health_check]\ninterval_seconds = 0.02\n")
    await reloads.gateway.until(lambda: len(one.requests) > asked + 5)
    await reloads.to(backend_toml(one) + "[health_check]\nenabled = false\n")
    assert reloads.gateway.nexus.registry.snapshot.backends[one.name].status is BackendStatus.HEALTHY


@pytest.mark.usefixtures("levels")
async def test_logging_changes_and_what_was_said_of_a_component_is_taken_back(
    fleet: FakeFleet, begin: Begin
) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    await reloads.to(
        backend_toml(one) + "[logging]\nformat = 'json'\ncomponent_levels = { http = 'debug' }\n"
    )
    assert logging.getLogger("nexus.http").level == logging.DEBUG
    await reloads.gateway.chat()
    await reloads.gateway.outcome()
    reloads.gateway.nexus.observed.request_log._writer._flush()
    assert '"event":"request"' in reloads.gateway.log.read_text()
    lines = await reloads.to(backend_toml(one) + "[logging]\nlevel = 'error'\n")
    assert '  logging.component_levels."http": "debug" -> nothing' in lines
    assert logging.getLogger("nexus.http").level == logging.NOTSET
    assert not logging.getLogger("nexus.http").isEnabledFor(logging.WARNING)


async def test_a_backend_whose_key_is_gone_is_left_out_with_a_warning_once(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = Reloads(await start(OFF + backend_toml(one)), tmp_path)
    keyed = backend_toml(one, **{one.name: 'api_key_env = "NOWHERE_KEY"\n'})
    first = await reloads.to(keyed)
    assert f"  backends.{one.name}: removed; its running requests end first" in first
    assert any("Warning: " in line and "left out" in line for line in first)
    assert not any("Warning" in line for line in await reloads.to(keyed))


async def test_the_first_file_is_found_when_there_was_none(
    fleet: FakeFleet, start: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    one = await fleet.add("vllm", models=["m"])
    gateway = await start(OFF)
    folder = tmp_path / "folder"
    folder.mkdir()
    source = Source(None, {"NEXUS_DISCOVERY": "false"}, {"server.port": "0"}, folder)
    gateway.nexus.loaded = source.load(source.find())
    said: list[str] = []
    reloader = Reloader(gateway.nexus, source, LineWriter(2), said.append)
    assert await reloader.reload()
    assert said == ["Configuration reloaded from flags and environment: nothing has changed"]
    (folder / "nexus.toml").write_text(backend_toml(one))
    reloader.start()
    await gateway.until(lambda: one.name in gateway.nexus.registry.snapshot.backends)
    await reloader.close()


async def test_a_defect_stops_one_reload_and_changes_nothing(
    fleet: FakeFleet,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, two = await fleet.add("vllm", models=["m"]), await fleet.add("vllm", models=["n"])
    reloads = await begin(backend_toml(one))
    nexus = reloads.gateway.nexus
    before = nexus.loaded

    def stumble(*_: object) -> None:
        raise KeyError("a defect")

    await asyncio.to_thread(reloads.path.write_text, OFF + backend_toml(two))
    with monkeypatch.context() as patched:
        patched.setattr("nexus.server.settings.timeouts", stumble)
        reloads.reloader.start()
        reloads.reloader.ask()
        await reloads.gateway.until(lambda: any("a defect of Nexus" in line for line in reloads.said))
        assert nexus.loaded is before
        assert set(nexus.registry.snapshot.backends) == {one.name}
    reloads.reloader.ask()
    await reloads.gateway.until(lambda: set(nexus.registry.snapshot.backends) == {two.name})
    await reloads.reloader.close()
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


async def test_what_metrics_count_changes_at_once(fleet: FakeFleet, begin: Begin) -> None:
    one = await fleet.add("vllm", models=["m"])
    reloads = await begin(backend_toml(one))
    gateway = reloads.gateway
    await gateway.chat(stream=True)
    assert b"gen_ai" not in (await gateway.get("/metrics")).body
    await reloads.to(backend_toml(one) + "[metrics]\ngenai = true\nask_stream_usage = true\n")
    await gateway.chat(stream=True)
    assert [b'"include_usage":true' in request.body for request in one.surface_requests] == [False, True]
    assert b"gen_ai_client_token_usage_count" in (await gateway.get("/metrics")).body
    await reloads.to(backend_toml(one) + "[metrics]\nmax_series = 100\n")
    await gateway.chat(stream=True)
    assert b"stream_options" not in one.surface_requests[-1].body
    assert b"gen_ai" not in (await gateway.get("/metrics")).body
