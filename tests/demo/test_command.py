"""The demo as a person runs it: in a process of its own, with real servers."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from tests.demo.processes import all_gone

from nexus.demo import weights
from nexus.demo.command import demo

COMMAND = [sys.executable, "-m", "nexus", "demo"]


@contextmanager
def staying_demo(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that has shown everything and stays up, and what it has said."""
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines: list[str] = []
        for line in running.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        try:
            yield running, "".join(lines)
        finally:
            running.kill()


def pids(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"process (\d+)", output)]


@pytest.mark.real
def test_the_show_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    environ = {**os.environ, "NEXUS_BACKENDS": "wrong=http://127.0.0.1:1", "TMPDIR": str(tmp_path)}
    (tmp_path / "nexus.toml").write_text("[server]\nport = 1\n")
    done = subprocess.run(
        [*COMMAND, "--exit"], capture_output=True, text=True, check=False, env=environ, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answered = re.findall(r"answered by (llama-[ab])", done.stdout)
    assert sorted(answered) == ["llama-a", "llama-b"]
    assert "failover" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert len(pids(done.stdout)) == 3
    assert all_gone(pids(done.stdout))
    assert [path.name for path in tmp_path.iterdir()] == ["nexus.toml"]


@pytest.mark.real
def test_stays_up_with_a_curl_line_that_works_until_ctrl_c() -> None:
    with staying_demo() as (running, output):
        command = re.search(r"^  curl .*?'$\n", output, re.DOTALL | re.MULTILINE)
        assert command is not None
        _, _, url, _, header, _, body = shlex.split(command[0].replace("\\\n", " "))
        parts = urlsplit(url)
        with closing(http.client.HTTPConnection(parts.netloc, timeout=30)) as connection:
            connection.request("POST", parts.path, body, dict([header.split(": ")]))
            assert connection.getresponse().read().rstrip().endswith(b"data: [DONE]")
        assert "Base URL" in output
        running.send_signal(signal.SIGINT)
        assert running.wait(15) == 0
        assert all_gone(pids(output))


@pytest.mark.real
def test_leaves_nothing_when_it_is_killed() -> None:
    with staying_demo() as (running, output):
        running.kill()
        assert len(pids(output)) == 3
        assert all_gone(pids(output))


@pytest.mark.real
def test_sigterm_ends_everything() -> None:
    with staying_demo() as (running, output):
        running.terminate()
        assert running.wait(15) == 128 + signal.SIGTERM
        assert all_gone(pids(output))


@pytest.mark.real
def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--exit", "--port", port], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_weights_are_answered_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "WEIGHTS", "a-distribution-that-nobody-has")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    result = CliRunner().invoke(demo, ["--exit"])
    assert weights.INSTALL_WEIGHTS in str(result.exception)
