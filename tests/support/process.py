"""``nexus serve`` as people run it: a process of its own, its announced address, its signals, its log."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.client import RawClient

DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.005

COMMAND = (sys.executable, "-m", "nexus", "serve")
_ANNOUNCED = re.compile(r"^Nexus listens on (http://\S+:(\d+))$")


class NexusProcess:
    """One running gateway; a test ends it through its handle and no other way.

    Attributes:
        process: the handle.
        said: lines of its standard output so far.
        url, port: as announced.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, environ: dict[str, str]) -> None:
        self.said: list[str] = []
        self.url = ""
        self.port = 0
        self._log = folder / f"nexus-{time.monotonic_ns()}.log"
        self._announced = threading.Event()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environ,
                text=True,
                process_group=0,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_announced(self) -> None:
        """Wait until it listens."""
        if not self._announced.wait(DEADLINE_SECONDS) or not self.url:
            raise AssertionError(f"nexus did not start: {self.said} {self.errors}")

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return self._log.read_text()

    def log_lines(self, **wanted: object) -> list[dict[str, Any]]:
        """Complete JSON lines of its log that carry these values."""
        whole = self.errors.rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]

    def client(self) -> RawClient:
        return RawClient("127.0.0.1", self.port)

    def get(self, path: str) -> tuple[int, Any]:
        """Ask for a page over a connection of its own."""
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        ) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body)

    def backend(self, name: str) -> dict[str, Any]:
        """One backend as ``/health?verbose=1`` shows it."""
        items = self.get("/health?verbose=1")[1]["backends"]["items"]
        found: dict[str, Any] = next(item for item in items if item["name"] == name)
        return found

    def healthy(self, *names: str) -> bool:
        return all(self.backend(name)["status"] == "healthy" for name in names)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait for its end and return the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(DEADLINE_SECONDS)
        return code

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if (match := _ANNOUNCED.match(self.said[-1])) is not None:
                self.url, self.port = match[1], int(match[2])
                self._announced.set()
        self._announced.set()


def clean_environ(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment without the settings of the person who runs the tests.

    Discovery is off, unless ``more`` says otherwise: a test must not meet servers of this machine.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NEXUS_") and name != "OLLAMA_HOST"
    }
    folders = {"XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    return {**kept, **folders, "NEXUS_DISCOVERY": "false", **more}


@contextmanager
def nexus_process(folder: Path, *arguments: str, toml: str = "", **environ: str) -> Iterator[NexusProcess]:
    """Run ``nexus serve`` on a free port with a configuration of its own, JSON log, until the block ends."""
    path = folder / f"nexus-{time.monotonic_ns()}.toml"
    path.write_text(toml)
    running = NexusProcess(
        ["-c", str(path), "-p", "0", *arguments],
        folder,
        clean_environ(folder, NEXUS_LOG_FORMAT="json", **environ),
    )
    try:
        running.wait_announced()
        yield running
    finally:
        running.close()


@contextmanager
def bare_nexus(folder: Path, *arguments: str) -> Iterator[NexusProcess]:
    """Run ``nexus serve`` as on a fresh computer: no configuration, nothing kept, an empty environment.

    It looks for servers and takes its usual port: only for a network namespace.
    """
    home = folder / "home"
    home.mkdir(exist_ok=True)
    running = NexusProcess(arguments, home, {"PATH": os.environ["PATH"], "HOME": str(home)})
    try:
        yield running
    finally:
        running.close()


def wait_until(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Block until a condition holds; the deadline only catches hanging."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this never became true"
        time.sleep(POLL_SECONDS)


async def until(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until a condition holds, from a coroutine; the condition may block."""
    await asyncio.to_thread(wait_until, condition, seconds)


def backends_toml(*rows: tuple[str, str], **extra: str) -> str:
    """``[[backends]]`` tables of name and URL, typed as llama.cpp; ``extra`` adds lines by name."""
    return "\n".join(
        f'[[backends]]\nname = "{name}"\nurl = "{url}"\ntype = "llamacpp"\n{extra.get(name, "")}\n'
        for name, url in rows
    )
