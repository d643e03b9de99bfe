"""A backend that was added, over the hardest restart: the process is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.process import clean_environ, nexus_process, until

from nexus.testing import FakeFleet, FakeModel


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nexus", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environ(folder),
        check=False,
        timeout=60,
    )


async def test_what_was_added_is_there_after_a_kill(tmp_path: Path) -> None:
    async with FakeFleet() as fleet:
        backend = await fleet.add("vllm", models=[FakeModel("m")])
        with nexus_process(tmp_path, NEXUS_STATE_DIR=str(tmp_path / "state")) as nexus:
            added = await in_thread(
                tmp_path, "backends", "add", backend.url, "--name", "box", "--url", nexus.url
            )
            assert (added.returncode, added.stdout) == (0, "Added box (vllm): m.\n")
            nexus.send(signal.SIGKILL)
            assert nexus.wait() == -signal.SIGKILL
        with nexus_process(tmp_path, NEXUS_STATE_DIR=str(tmp_path / "state")) as nexus:
            await until(lambda: nexus.healthy("box"))
            listed = await in_thread(tmp_path, "backends", "list", "--json", "--url", nexus.url)
            (view,) = json.loads(listed.stdout)
            assert (view["name"], view["source"]) == ("box", "manual")
            removed = await in_thread(tmp_path, "backends", "remove", "b", "--url", nexus.url)
            assert removed.returncode == 0
            assert "Traceback" not in nexus.errors
        kept = json.loads((tmp_path / "state" / "backends.json").read_text())
        assert kept["backends"] == []


async def in_thread(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command while the fake servers, which live on this loop, go on answering."""
    return await asyncio.to_thread(command, folder, *arguments)
