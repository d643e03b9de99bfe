"""A configuration that changes under a running ``nexus serve``."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.e2e.reloading import CHAT, SIGNAL_ONLY, Reloading, gateway
from tests.support.fixtures import fleet
from tests.support.gateway import backend_toml, chat_body
from tests.support.process import NexusProcess, clean_environ, until

from nexus.testing import FakeFleet, Stall
from nexus.testing.faults import Stage

__all__ = ["fleet"]


async def test_a_hang_up_applies_what_differs_and_leaves_the_rest_alone(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    kept, gone = await fleet.add("llamacpp", models=["m"]), await fleet.add("vllm", models=["gone"])
    new = await fleet.add("ollama", models=["new"])
    async with gateway(tmp_path, SIGNAL_ONLY + backend_toml(kept, gone)) as reloading:
        assert (await reloading.chat()).status == 200
        before = await asyncio.to_thread(reloading.counters, kept.name)
        reloading.write(
            SIGNAL_ONLY
            + '[routing]\nstrategy = "random"\n[routing.aliases]\nalias = "new"\n[logging]\nlevel = "debug"\n'
            + backend_toml(kept, new)
        )
        reloading.hang_up()
        await reloading.said("  logging.level")
        assert reloading.nexus.said[-6:] == [
            f"Configuration reloaded from {reloading.path}: 5 changes",
            f"  backends.{new.name}: added, {new.url}/v1",
            f"  backends.{gone.name}: removed; its running requests end first",
            '  routing.strategy: "smart" -> "random"',
            '  routing.aliases."alias": nothing -> "new"',
            '  logging.level: "info" -> "debug"',
        ]
        assert (await reloading.chat("alias")).header("x-nexus-backend") == new.name
        assert (await reloading.chat("gone")).status in {404, 503}
        assert await asyncio.to_thread(reloading.counters, kept.name) == before
        await until(lambda: bool(reloading.nexus.log_lines(event="configuration reloaded")))
        (line,) = reloading.nexus.log_lines(event="configuration reloaded")
        assert len(line["changes"]) == 5
        await until(lambda: bool(reloading.nexus.log_lines(level="debug")))


async def test_a_hang_up_without_a_change_says_so(fleet: FakeFleet, tmp_path: Path) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    async with gateway(tmp_path, backend_toml(one)) as reloading:
        reloading.hang_up()
        await reloading.said(f"Configuration reloaded from {reloading.path}: nothing has changed")
        assert (await reloading.chat()).status == 200


async def test_a_replaced_file_is_applied_without_a_signal(fleet: FakeFleet, tmp_path: Path) -> None:
    one, two = await fleet.add("llamacpp", models=["m"]), await fleet.add("vllm", models=["n"])
    async with gateway(tmp_path, backend_toml(one)) as reloading:
        reloading.write(backend_toml(one, two))
        await reloading.said(f"Configuration reloaded from {reloading.path}: 1 change")
        assert (await reloading.chat("n")).status == 200


async def test_an_invalid_file_changes_nothing_and_is_named_with_its_line(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    async with gateway(tmp_path, backend_toml(one)) as reloading:
        reloading.write('[routing]\nstrategy = "smrt"\n')
        await reloading.said("Configuration not reloaded, nothing has changed: ")
        assert f'{reloading.path}:2: routing.strategy: expected one of "smart"' in reloading.nexus.said[-1]
        assert (await reloading.chat()).status == 200
        await until(
            lambda: bool(reloading.nexus.log_lines(event="configuration is wrong, nothing has changed"))
        )
        reloading.write('[routing]\nstrategy = "random"\n' + backend_toml(one))
        await reloading.said('  routing.strategy: "smart" -> "random"')


async def test_a_file_that_vanishes_changes_nothing(fleet: FakeFleet, tmp_path: Path) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    async with gateway(tmp_path, backend_toml(one)) as reloading:
        # Until the watch has seen the file, there is nothing that could vanish.
        reloading.write("[routing]\nmax_retries = 1\n" + backend_toml(one))
        await reloading.said("Configuration reloaded")
        reloading.path.unlink()
        await reloading.said(f"Warning: {reloading.path} has vanished; its configuration stays in force")
        reloading.hang_up()
        await reloading.said("Configuration not reloaded, nothing has changed: ")
        assert (await reloading.chat()).status == 200
        reloading.write("[routing]\nmax_retries = 0\n" + backend_toml(one))
        await reloading.said("  routing.max_retries: 1 -> 0")


async def test_what_needs_a_restart_says_so_each_time_and_flags_stand(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    async with gateway(tmp_path, backend_toml(one), "-l", "warning") as reloading:
        text = "[server]\nport = 1\nmax_body_mb = 5\n[logging]\nlevel = 'debug'\n" + backend_toml(one)
        reloading.write(text)
        reloading.hang_up()
        await reloading.said("  server.max_body_mb: 100 -> 5 (needs a restart)")
        reloading.hang_up()
        await reloading.said("  server.max_body_mb: 100 -> 5 (needs a restart)", 2)
        assert not any("port" in line or "logging" in line for line in reloading.nexus.said[2:])


async def test_client_keys_of_a_file_are_exchanged(fleet: FakeFleet, tmp_path: Path) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    keys = tmp_path / "keys.txt"
    keys.write_text("first\n")
    keys.chmod(0o600)
    text = f'[server]\nreload = false\napi_keys_file = "{keys}"\n' + backend_toml(one)
    async with gateway(tmp_path, text) as reloading, reloading.nexus.client() as client:

        async def status(key: str) -> int:
            client.send("POST", CHAT, chat_body(), {"authorization": f"Bearer {key}"})
            return (await client.read_reply()).status

        assert [await status("first"), await status("second")] == [200, 401]
        keys.write_text("second\n")
        reloading.hang_up()
        await reloading.said("  keys: changed")
        assert [await status("first"), await status("second")] == [401, 200]


async def test_a_configuration_from_a_pipe_is_not_read_twice(fleet: FakeFleet, tmp_path: Path) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    path = tmp_path / "nexus.toml"
    os.mkfifo(path)
    nexus_arguments = ["-c", str(path), "-p", "0"]
    nexus = await asyncio.to_thread(NexusProcess, nexus_arguments, tmp_path, clean_environ(tmp_path))
    try:
        await asyncio.to_thread(path.write_text, backend_toml(one))
        await asyncio.to_thread(nexus.wait_announced)
        reloading = Reloading(tmp_path, nexus, path)
        await until(lambda: nexus.healthy(one.name))
        reloading.hang_up()
        await reloading.said("Configuration not reloaded, nothing has changed: ")
        assert (await reloading.chat()).status == 200
    finally:
        await asyncio.to_thread(nexus.close)


async def test_a_reload_while_nexus_drains_does_no_harm(fleet: FakeFleet, tmp_path: Path) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    gate = asyncio.Event()
    one.next(Stall(stage=Stage.HEAD, release=gate))
    async with gateway(tmp_path, backend_toml(one)) as reloading:
        request = asyncio.ensure_future(reloading.chat())
        await until(lambda: one.in_flight == 1)
        reloading.nexus.send(signal.SIGTERM)
        await reloading.said("Stopping: 1 running")
        reloading.write("")
        reloading.hang_up()
        gate.set()
        assert (await request).status == 200
        assert await asyncio.to_thread(reloading.nexus.wait) == 0


async def test_a_removed_backend_ends_its_requests_while_a_further_reload_comes(
    fleet: FakeFleet, tmp_path: Path
) -> None:
    one, two = await fleet.add("llamacpp", models=["m"]), await fleet.add("llamacpp", models=["m"])
    gate = asyncio.Event()
    one.next(Stall(stage=Stage.HEAD, release=gate))
    async with gateway(tmp_path, SIGNAL_ONLY + backend_toml(one)) as reloading:
        request = asyncio.ensure_future(reloading.chat())
        await until(lambda: one.in_flight == 1)
        reloading.write(SIGNAL_ONLY + backend_toml(two))
        reloading.hang_up()
        await reloading.said("Configuration reloaded")
        assert await asyncio.to_thread(lambda: reloading.nexus.backend(one.name)["draining"]) is True
        assert (await reloading.chat()).header("x-nexus-backend") == two.name
        reloading.write(SIGNAL_ONLY + backend_toml(two) + "[routing]\nmax_retries = 1\n")
        reloading.hang_up()
        await reloading.said("Configuration reloaded", 2)
        gate.set()
        reply = await request
        assert (reply.status, reply.header("x-nexus-backend")) == (200, one.name)
        await until(lambda: reloading.nexus.get("/health")[1]["backends"]["total"] == 1)
