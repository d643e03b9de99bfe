from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.support import Command

from nexus.cli import serve as module
from nexus.config.load import Loaded
from nexus.config.source import Source
from nexus.domain import BackendSpec
from nexus.errors import StartError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Loaded]:
    """Every configuration that a server would have been started with."""
    seen: list[Loaded] = []

    def run(loaded: Loaded, _: Source, *, announce: Callable[[str], None]) -> int:
        seen.append(loaded)
        announce("listening")
        return 0

    monkeypatch.setattr(module, "run", run)
    return seen


def test_starts_without_any_configuration(nexus: Command, served: list[Loaded]) -> None:
    result = nexus("serve")
    assert result.exit_code == 0
    assert result.stdout == "listening\n"
    assert served[0].path is None
    assert served[0].config.server.port == 6398


def test_flags_win_over_everything(
    nexus: Command, served: list[Loaded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[server]\nport = 1001\nhost = "127.0.0.3"\n[logging]\nlevel = "error"\n')
    monkeypatch.setenv("NEXUS_PORT", "1002")
    flags = ("-p", "1003", "-H", "127.0.0.2", "-l", "debug", "--no-health-check")
    assert nexus("serve", "-c", str(file), *flags).exit_code == 0
    config = served[0].config
    assert (config.server.host, config.server.port) == ("127.0.0.2", 1003)
    assert config.logging.level == "debug"
    assert config.health_check.enabled is False


def test_health_checks_stay_as_configured_without_the_flag(
    nexus: Command, served: list[Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_HEALTH_CHECK", "false")
    nexus("serve")
    assert served[0].config.health_check.enabled is False


def test_backends_come_from_flags_with_and_without_a_name(nexus: Command, served: list[Loaded]) -> None:
    nexus("serve", "--backend", "127.0.0.1:8001", "--backend", "big=http://127.0.0.1:8002")
    backends: tuple[BackendSpec, ...] = served[0].config.backends
    assert [spec.name for spec in backends] == ["127.0.0.1:8001", "big"]


def test_the_file_in_the_folder_is_taken(nexus: Command, served: list[Loaded], tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text("[server]\nport = 1004\n")
    nexus("serve")
    assert served[0].config.server.port == 1004


@pytest.mark.parametrize(
    "flags", [("-p", "none"), ("-c", "/nowhere/nexus.toml"), ("-l", "loud"), ("--backend", "ftp://x")]
)
def test_an_impossible_flag_is_one_line_and_exit_code_2(
    nexus: Command, served: list[Loaded], flags: tuple[str, ...]
) -> None:
    result = nexus("serve", *flags)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not served


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(
    nexus: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(loaded: Loaded, _: Source, **__: object) -> int:
        raise StartError(f"127.0.0.1:{loaded.config.server.port} is in use")

    monkeypatch.setattr(module, "run", run)
    result = nexus("serve")
    assert (result.exit_code, result.stderr) == (2, "Error: 127.0.0.1:6398 is in use\n")


def test_serving_imports_nothing_that_draws_on_a_terminal() -> None:
    program = (
        "import sys, nexus.cli.serve; print([name for name in ('rich', 'pygments') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_servers_exit_code_is_the_commands(nexus: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run", lambda *_, **__: 7)
    assert nexus("serve").exit_code == 7


def test_the_configuration_can_be_read_again_as_it_was_at_the_start(
    nexus: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sources: list[Source] = []
    monkeypatch.setattr(module, "run", lambda _, source, **__: sources.append(source))
    file = tmp_path / "mine.toml"
    file.write_text("[server]\nport = 1001\n")
    nexus("serve", "-c", str(file), "-H", "127.0.0.2", "--no-discovery")
    file.write_text("[server]\nport = 1002\nhost = '127.0.0.3'\n[discovery]\nenabled = true\n")
    (source,) = sources
    config = source.load(source.find()).config
    assert (config.server.host, config.server.port, config.discovery.enabled) == ("127.0.0.2", 1002, False)


@pytest.mark.parametrize(
    ("flags", "advertise", "open_"),
    [
        ((), False, False),
        (("--advertise", "--open"), True, True),
        (("--open",), False, True),
    ],
)
def test_being_found_is_asked_for(
    nexus: Command, served: list[Loaded], flags: tuple[str, ...], *, advertise: bool, open_: bool
) -> None:
    nexus("serve", "-H", "0.0.0.0", *flags)  # nothing listens in this test
    discovery = served[0].config.discovery
    assert (discovery.advertise, discovery.open) == (advertise, open_)


def test_what_nobody_could_reach_is_not_announced(nexus: Command, served: list[Loaded]) -> None:
    result = nexus("serve", "--advertise")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: flag --advertise: discovery.advertise: expected a host")
    assert result.stderr.count("\n") == 1
    assert not served
