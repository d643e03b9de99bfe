"""A gateway in a process of its own whose configuration changes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.support.client import RawReply
from tests.support.gateway import chat_body
from tests.support.process import NexusProcess, clean_environ, until

CHAT = "/v1/chat/completions"
SIGNAL_ONLY = "[server]\nreload = false\n"


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
