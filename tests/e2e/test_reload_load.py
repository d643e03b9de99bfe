"""Many reloads under load, and with a terminal that nobody reads."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

from tests.e2e.reloading import CHAT, SIGNAL_ONLY, gateway
from tests.support.client import RawClient, RawReply
from tests.support.fixtures import fleet
from tests.support.gateway import backend_toml, chat_body
from tests.support.process import COMMAND, clean_environ, until

from nexus.testing import FakeBackend, FakeFleet

__all__ = ["fleet"]


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
