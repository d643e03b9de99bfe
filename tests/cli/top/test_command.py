"""``nexus top`` through its real entry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.program import on_a_terminal, program
from tests.cli.support import Command
from tests.support.gateway import Serve, backend_toml

from nexus.testing import FakeFleet, FakeModel


async def test_it_draws_on_a_terminal_and_leaves_it_as_it_was(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    backend = await fleet.add("ollama", name="desk", models=[FakeModel("m")])
    gateway = await start(
        '[admin]\ntoken_env = "ADMIN"\n' + backend_toml(backend), ADMIN="sesame-sesame-sesame"
    )
    url = f"http://127.0.0.1:{gateway.nexus.port}"
    async with on_a_terminal(
        tmp_path,
        *("top", "--url", url, "--admin-token-env", "MINE"),
        environment={"MINE": "sesame-sesame-sesame"},
    ) as screen:
        await screen.until("desk")
        await screen.until("Quit")
        screen.type("q")
        assert await screen.end() == 0
        assert "\x1b[?1049h" in screen.raw
        assert screen.raw.rindex("\x1b[?1049l") > screen.raw.rindex("\x1b[?1049h")
        assert "Traceback" not in screen.text


async def test_without_colours_there_are_only_shades_of_grey(start: Serve, tmp_path: Path) -> None:
    gateway = await start("")
    async with on_a_terminal(
        tmp_path,
        *("top", "--url", f"http://127.0.0.1:{gateway.nexus.port}"),
        environment={"NO_COLOR": "1", "COLORTERM": "truecolor"},
    ) as screen:
        await screen.until("Quit")
        shades = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", screen.raw)
        assert shades
        assert all(max(map(int, shade)) - min(map(int, shade)) <= 1 for shade in shades)


async def test_without_a_terminal_it_says_what_to_use(tmp_path: Path) -> None:
    async with program(tmp_path, "top") as running:
        code, out, err = await running.rest()
    assert (code, out) == (2, "")
    assert "nexus backends list" in err
    async with on_a_terminal(tmp_path, "top", environment={"TERM": "dumb"}) as screen:
        assert await screen.end() == 2
        await screen.until("nexus logs -f")


async def test_who_is_not_let_in_is_told_in_a_line(start: Serve, tmp_path: Path) -> None:
    gateway = await start('[admin]\ntoken_env = "ADMIN"\n', ADMIN="sesame-sesame-sesame")
    for url, said in (
        (f"http://127.0.0.1:{gateway.nexus.port}", "--admin-token-env"),
        ("http://127.0.0.1:9", "Nothing answers"),
    ):
        async with on_a_terminal(tmp_path, "top", "--url", url) as screen:
            assert await screen.end() == 1
            await screen.until(said)
            assert "\x1b[?1049h" not in screen.raw


@pytest.mark.parametrize("option", ["--url", "--admin-token-env"])
def test_it_takes_the_options_of_the_administration_but_json(nexus: Command, option: str) -> None:
    assert option in nexus("top", "--help").stdout
    assert nexus("top", "--json").exit_code == 2
