"""Configurations load, and commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from tests.docs.pages import PAGES, ROOT, Block, blocks, quoted, read

from nexus.cli import main
from nexus.config.load import load

_TOML = blocks("toml")
_MAKE = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("block", _TOML, ids=lambda block: block.page)
def test_a_configuration_loads_without_a_warning(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "nexus.toml"
    path.write_text(block.text, encoding="utf-8")
    environ = dict.fromkeys(re.findall(r'_env = "(\w+)"', block.text), "a-key-for-the-test")
    assert load(path, environ).warnings == ()


def test_the_readme_points_at_three_servers_in_eight_lines() -> None:
    (first,) = [block for block in _TOML if block.page == "README.md"]
    assert first.text.count("\n") == 8
    assert first.text.count("[[backends]]") == 3


def _commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        lines = re.findall(r"^\$ (.+)$", read(page), re.MULTILINE)
        inline = [text for text in quoted(read(page)) if text.startswith(("nexus ", "make "))]
        for text in sorted({*lines, *inline}):
            command = text.partition("  #")[0].strip()
            command = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", command)
            if command.split()[0] in ("nexus", "make"):
                found.append((page, command))
    return found


@pytest.mark.parametrize(("page", "text"), _commands())
def test_a_command_exists(page: str, text: str) -> None:
    del page
    words = [word for word in shlex.split(text) if not re.fullmatch(r"[A-Z]+|<.*>|\.\.\.", word)]
    if words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= _MAKE
        return
    command: click.Command = main
    context = click.Context(main)
    for word in words[1:]:
        if word.startswith("-"):
            options = {option for parameter in command.params for option in parameter.opts}
            assert word.partition("=")[0] in options | {"--help"}
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            assert found is not None, f"there is no command {word!r} in {text!r}"
            command = found


def test_every_command_is_in_the_documentation() -> None:
    text = "".join(read(page) for page in PAGES)
    assert [name for name in main.list_commands(click.Context(main)) if f"nexus {name}" not in text] == []
