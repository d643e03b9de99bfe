"""``python -m nexus`` as a process, with pipes or on a terminal of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

SECONDS = 30.0


def environ(home: Path, **more: str) -> dict[str, str]:
    """An environment without configuration."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "LANG": "C.UTF-8",
        **more,
    }


class Program:
    """A running one whose lines are read as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line of standard output, or "" at its end."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), SECONDS)).decode()

    async def complaint(self) -> str:
        """The next line of standard error, or "" at its end."""
        assert self.process.stderr is not None
        return (await asyncio.wait_for(self.process.stderr.readline(), SECONDS)).decode()

    async def rest(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, and what was not read yet of both outputs."""
        out, err = await asyncio.wait_for(self.process.communicate(), SECONDS)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()

    async def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return await self.rest()


@asynccontextmanager
async def program(home: Path, *arguments: str, **environment: str) -> AsyncIterator[Program]:
    """``nexus ARGUMENTS`` with pipes."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nexus", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        cwd=home, env=environ(home, **environment),
    )  # fmt: skip
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


class Screen:
    """What a program wrote to its terminal so far, and its keyboard."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self.raw = ""
        self.process = process
        self._descriptor = descriptor
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def text(self) -> str:
        """Without what colours it and moves the cursor."""
        return re.sub(r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[()>=78].?", "", self.raw)

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    async def until(self, text: str) -> None:
        """Wait until a text was written."""
        async with asyncio.timeout(SECONDS):
            while text not in self.text:
                await self._news.wait()
                self._news.clear()

    async def end(self) -> int:
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self.raw += data.decode(errors="replace")
        self._news.set()


@asynccontextmanager
async def on_a_terminal(
    home: Path,
    *arguments: str,
    size: tuple[int, int] = (80, 24),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Screen]:
    """``nexus ARGUMENTS`` on a terminal of its own."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nexus", *arguments,
        stdin=its, stdout=its, stderr=its, cwd=home, start_new_session=True,
        env=environ(home, **{"TERM": "xterm-256color", **(environment or {})}),
    )  # fmt: skip
    os.close(its)
    screen = Screen(mine, process)
    try:
        yield screen
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(mine)
        os.close(mine)
