from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.gateway import Serve, backend_toml

from nexus.config.schema import DiscoveryConfig
from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType, Model, Origin, Secret, replace
from nexus.observe.writer import LineWriter
from nexus.server import compose
from nexus.server.compose import Nexus
from nexus.server.greeting import Newcomers, describe, opening
from nexus.server.greeting import fleet as told
from nexus.testing import FakeFleet, Stall
from nexus.testing.faults import Stage

_LOOKED = "No inference server was found: looked at OLLAMA_HOST and the usual ports of this computer."


def _backend(**fields: object) -> Backend:
    spec = BackendSpec("x", "box", Origin("http", "10.0.0.1", 1), found_by="port 1 on this computer")
    return replace(Backend(spec, BackendType.OLLAMA), **fields)


def test_what_was_found_is_one_line() -> None:
    models = tuple(Model(f"m{number}", f"m{number}") for number in range(7))
    up = _backend(status=BackendStatus.HEALTHY, models=models)
    assert describe(up) == "Found box (ollama, port 1 on this computer): m0, m1, m2, m3, m4 and 2 more"
    assert describe(replace(up, models=())).endswith("): no models")
    down = _backend(status=BackendStatus.UNHEALTHY, reason="refused")
    assert describe(down) == ("Not usable now: box (ollama, port 1 on this computer) is unhealthy: refused")


async def test_one_that_hangs_delays_the_greeting_no_longer_than_it_may_take(
    fleet: FakeFleet, start: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, silent = await fleet.add("ollama", models=["m"]), await fleet.add("vllm", models=["n"])
    loaded = (await start(backend_toml(one, silent) + "[discovery]\nenabled = false\n")).nexus.loaded
    silent.always(Stall(stage=Stage.HEAD), probes=True)
    nexus = Nexus(loaded, LineWriter(2), {"NEXUS_STATE_DIR": str(tmp_path)})
    monkeypatch.setattr(compose, "GREETING_SECONDS", 0.5)
    try:
        await nexus.start()
        async with asyncio.timeout(4):
            await nexus.first_look()
        assert told(nexus) == [
            f"Found {one.name} (ollama): m",
            f"Still being asked: {silent.name} ({silent.url})",
        ]
        assert not nexus.lifecycle.ready
    finally:
        await nexus.close()
        silent.clear()


def test_a_servers_own_words_cannot_move_the_cursor() -> None:
    up = _backend(status=BackendStatus.HEALTHY, models=(Model("\x1b[2J\nNexus", "m"),))
    assert describe(up).isprintable()


@pytest.mark.parametrize(
    ("discovery", "words"),
    [
        (DiscoveryConfig(enabled=False), ["No backend is configured, and discovery is off."]),
        (
            DiscoveryConfig(peers=("box:1",)),
            [
                _LOOKED,
                "One that starts here is used within 60 s.",
                "Still looking at the peers box:1 and what the network announces (_ollama._tcp, _llm._tcp).",
            ],
        ),
        (
            DiscoveryConfig(probe_local=False, service_types=()),
            ["No inference server was found: this computer is not looked at ([discovery] probe_local)."],
        ),
    ],
)
async def test_when_there_is_nothing_it_says_what_was_tried_and_what_to_do(
    start: Serve, discovery: DiscoveryConfig, words: list[str]
) -> None:
    nexus = (await start("")).nexus
    config = replace(nexus.loaded.config, discovery=discovery)
    nexus.loaded = replace(nexus.loaded, config=config)
    lines = told(nexus)
    assert lines[: len(words)] == words
    assert "  nexus serve --backend http://127.0.0.1:11434" in lines


async def test_warnings_and_a_one_time_token_come_first(start: Serve) -> None:
    nexus = (await start("")).nexus
    nexus.loaded = replace(nexus.loaded, warnings=("careful",))
    nexus.administration = replace(nexus.administration, one_time_token=Secret("t-1"))
    lines = opening(nexus)
    assert lines[0] == f"Nexus listens on {nexus.base_url}"
    assert "t-1" in lines[2]
    assert lines[-1] == "Warning: careful"


async def test_who_comes_later_is_told_of_once(fleet: FakeFleet, start: Serve) -> None:
    one, late = await fleet.add("ollama", models=["m"]), await fleet.add("vllm", models=["n"])
    await late.stop()
    gateway = await start(backend_toml(one, late) + "[health_check]\ninterval_seconds = 0.05\n")
    registry = gateway.nexus.registry
    said: list[str] = []
    Newcomers(gateway.nexus, said.append)
    await late.start()
    await gateway.until(lambda: said == [f"Found {late.name} (vllm): n"])
    for _ in range(2):
        await late.kill()
        await gateway.until(lambda: registry.snapshot.backends[late.name].status is BackendStatus.UNHEALTHY)
        await late.start()
        await gateway.until(lambda: registry.snapshot.backends[late.name].status is BackendStatus.HEALTHY)
    assert len(said) == 1
    spec = registry.snapshot.backends[late.name].spec
    gateway.nexus.fleet.remove(late.name)
    gateway.nexus.fleet.put(spec)
    await gateway.until(lambda: len(said) == 2)
