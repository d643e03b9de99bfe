from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nexus.cli.config import config
from nexus.config.example import render


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, no user's configuration and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda name: str(tmp_path / "user" / name))
    for variable in [name for name in os.environ if name.startswith("NEXUS_")]:
        monkeypatch.delenv(variable)
    return tmp_path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(config, list(arguments))


def test_init_writes_the_example_once(folder: Path) -> None:
    first = _run("init")
    assert (first.exit_code, (folder / "nexus.toml").read_text(encoding="utf-8")) == (0, render())
    (folder / "nexus.toml").write_text("mine")
    again = _run("init")
    assert again.exit_code == 2
    assert again.stderr == "Error: nexus.toml is there already; --force replaces it\n"
    assert (folder / "nexus.toml").read_text() == "mine"
    assert _run("init", "--force").exit_code == 0
    assert (folder / "nexus.toml").read_text(encoding="utf-8") == render()


def test_init_writes_elsewhere(folder: Path) -> None:
    assert _run("init", "-o", "other.toml").exit_code == 0
    assert (folder / "other.toml").exists()
    assert _run("init", "-o", "-").stdout == render()
    refused = _run("init", "-o", "missing/x.toml")
    assert refused.exit_code == 2
    assert refused.stderr == "Error: missing/x.toml cannot be written: No such file or directory\n"


def test_init_then_check(folder: Path) -> None:
    _run("init")
    checked = _run("check", "nexus.toml")
    assert (checked.exit_code, checked.stdout) == (0, "nexus.toml is right: 0 backends.\n")
    assert not list(folder.glob("user"))


def test_check_says_what_is_wrong_in_one_line(folder: Path) -> None:
    (folder / "x.toml").write_text("[server]\nprot = 1")
    refused = _run("check", "x.toml")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr == 'Error: x.toml:2: [server] has no key "prot"; did you mean "port"?\n'
    assert _run("check", "missing.toml").stderr == (
        "Error: missing.toml: expected a configuration file; there is none\n"
    )


def test_check_counts_what_is_left_out(folder: Path) -> None:
    (folder / "x.toml").write_text(
        "[[backends]]\nurl = 'h'\n[[backends]]\nurl = 'i'\napi_key_env = 'SURELY_UNSET'"
    )
    checked = _run("check", "x.toml")
    assert checked.exit_code == 0
    assert checked.stdout == "x.toml is right: 1 backend, 1 left out.\n"
    assert 'warning: backend "i:80" is left out' in checked.stderr


def test_show_finds_the_file_and_says_where_values_come_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "nexus.toml").write_text("[server]\nport = 1")
    monkeypatch.setenv("NEXUS_HOST", "::1")
    shown = _run("show")
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["#", f"{folder}/nexus.toml"] in lines
    assert ["server.port", "1", f"{folder}/nexus.toml:2"] in lines
    assert ["server.host", '"::1"', "environment", "NEXUS_HOST"] in lines
    assert ["server.tls_cert", "-", "default"] in lines


def test_show_works_without_a_file(folder: Path) -> None:
    assert _run("show").stdout.startswith("# no configuration file\n")
    assert not (folder / "nexus.toml").exists()


def test_show_for_programs_masks_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "x.toml").write_text("[[backends]]\nname = 'a'\nurl = 'h'\napi_key_env = 'A_KEY'")
    monkeypatch.setenv("A_KEY", "hunter2")
    shown = _run("show", "-c", "x.toml", "--json")
    document = json.loads(shown.stdout)
    assert document["path"] == "x.toml"
    assert {"key": "backends.a.api_key_env", "value": "********", "origin": "x.toml:4"} in document[
        "settings"
    ]
    assert "hunter2" not in shown.output


def test_show_refuses_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_CONFIG", "missing.toml")
    refused = _run("show")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: environment NEXUS_CONFIG: expected a configuration file; ")
    assert refused.stderr.endswith(f"{folder}/missing.toml does not exist\n")
