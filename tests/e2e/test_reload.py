"""A configuration that changes under a running ``nexus serve``."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.client import RawClient, RawReply
from tests.support.gateway import backend_toml, chat_body
from tests.support.process import COMMAND, NexusProcess, clean_environ, until

from nexus.testing import FakeBackend, FakeFleet, Stall
from nexus.testing.faults import Stage

CHAT = "/v1/chat/completions"


class Reloading:
    """A gateway in a process of its own whose configuration file a test rewrites."""

    def __init__(self, folder: Path, nexus: NexusProcess, path: Path) -> None:
        self.folder = folder
        self.nexus = nexus
        self.path = path

    def write(self, toml: str) -> None:
        """Replace the file in one step, as editors do."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(toml)
        fresh.rename(self.path)

    def hang_up(self) -> None:
        self.nexus.send(signal.SIGHUP)

    async def said(self, line: str, count: int = 1) -> None:
        """Wait until it has said a line that begins so, so many times."""
        await until(lambda: sum(said.startswith(line) for said in self.nexus.said) >= count)

    async def chat(self, model: str = "m", *, stream: bool = False) -> RawReply:
        async with self.nexus.client() as client:
            client.send("POST", CHAT, chat_body(model, stream=stream))
            return await client.read_reply()

    def counters(self, name: str) -> tuple[int, str]:
        backend = self.nexus.backend(name)
        return backend["attempts"], backend["status"]


@pytest.fixture
async def fleet() -> AsyncIterator[FakeFleet]:
    async with FakeFleet() as running:
        yield running


@contextlib.contextmanager
def running(folder: Path, toml: str, *arguments: str) -> Iterator[Reloading]:
    path = folder / "nexus.toml"
    path.write_text(toml)
    nexus = NexusProcess(
        ["-c", str(path), "-p", "0", *arguments], folder, clean_environ(folder, NEXUS_LOG_FORMAT="json")
    )
    try:
        nexus.wait_announced()
        yield Reloading(folder, nexus, path)
        assert "Traceback" not in nexus.errors
    finally:
        nexus.close()


@contextlib.asynccontextmanager
async def gateway(folder: Path, toml: str, *arguments: str) -> AsyncIterator[Reloading]:
    """Start without blocking the fakes, which live in this process."""
    with contextlib.ExitStack() as stack:
        reloading = await asyncio.to_thread(stack.enter_context, running(folder, toml, *arguments))
        await until(lambda: reloading.nexus.get("/health/ready")[0] == 200)
        yield reloading
        await asyncio.to_thread(stack.close)


SIGNAL_ONLY = "[server]\nreload = false\n"


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


async def test_a_terminal_that_nobody_reads_holds_no_request_up(fleet: FakeFleet, tmp_path: Path) -> None:
    one = await fleet.add("llamacpp", models=["m"])
    path = tmp_path / "nexus.toml"
    path.write_text(SIGNAL_ONLY + backend_toml(one))
    unread, terminal = os.pipe()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  # starting takes no time that matters here
            [*COMMAND, "-c", str(path), "-p", "0"], stdout=terminal, stderr=log, env=clean_environ(tmp_path)
        )
    os.close(terminal)
    try:
        first = await asyncio.to_thread(os.read, unread, 200)
        port = int(first.splitlines()[0].rpartition(b":")[2])
        for number in range(20):
            names = "".join(f'"{number}-{index}-{"x" * 40}" = "m"\n' for index in range(100))
            path.write_text(f"{SIGNAL_ONLY}[routing.aliases]\n{names}{backend_toml(one)}")
            process.send_signal(signal.SIGHUP)
            status = 0
            while status != 200:
                async with RawClient("127.0.0.1", port) as client:
                    client.send("POST", CHAT, chat_body(f"{number}-0-{'x' * 40}"))
                    status = (await client.read_reply()).status
        waiting = bytearray(4)
        fcntl.ioctl(unread, termios.FIONREAD, waiting)
        assert int.from_bytes(waiting, sys.byteorder) > 60_000, "the pipe never filled"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(unread)


def _variant(number: int, fleet: tuple[FakeBackend, FakeBackend, FakeBackend]) -> str:
    """The configuration of the reload with this number; some have no backend in common with the last."""
    one, two, three = fleet
    here = [(one, two), (three,), (two,), (one, two, three), (one,)][number % 5]
    extra = {here[0].name: f"priority = {number % 100}\n"}
    aliases = f'alias = "m"\n"other-{number}" = "m"\n'
    strategy = ("smart", "round_robin", "random", "priority_only")[number % 4]
    return (
        f'{SIGNAL_ONLY}[routing]\nstrategy = "{strategy}"\n[routing.aliases]\n{aliases}'
        f"{backend_toml(*here, **extra)}"
    )


async def test_fifty_reloads_under_load_lose_not_one_request(fleet: FakeFleet, tmp_path: Path) -> None:
    """Open loop: requests begin on a beat, whatever becomes of the ones before."""
    fakes = (
        await fleet.add("llamacpp", models=["m"], name="one", pace=0.002),
        await fleet.add("vllm", models=["m"], name="two", pace=0.002),
        await fleet.add("generic", models=["m"], name="three", pace=0.002),
    )
    replies: list[asyncio.Task[RawReply]] = []
    async with gateway(tmp_path, _variant(0, fakes)) as reloading:
        done = asyncio.Event()

        async def load() -> None:
            number = 0
            while not done.is_set():
                number += 1
                model = "alias" if number % 3 else "m"
                replies.append(asyncio.ensure_future(reloading.chat(model, stream=number % 2 == 0)))
                await asyncio.sleep(0.005)

        beat = asyncio.ensure_future(load())
        for number in range(1, 51):
            reloading.write(_variant(number, fakes))
            reloading.hang_up()
            await reloading.said("Configuration reloaded", number)
            while len(replies) < 6 * number:  # noqa: ASYNC110  # the load has no event of its own
                await asyncio.sleep(0.005)
        done.set()
        await beat
        finished = await asyncio.gather(*replies)
        text = "\n".join(reloading.nexus.said)
        assert text.count(": added, ") >= 20
        assert text.count(": removed; ") >= 20
        await until(lambda: reloading.nexus.get("/health")[1]["backends"]["total"] <= 3)
    assert len(finished) >= 300
    assert {reply.status for reply in finished} == {200}
    assert all(reply.complete for reply in finished)
    for reply in finished:
        if reply.events:
            assert reply.events[-1] == "[DONE]"
            assert b'"error"' not in reply.body
    assert {reply.header("x-nexus-backend") for reply in finished} == {"one", "two", "three"}
