from __future__ import annotations

import resource
import subprocess
import sys

import click
import pytest
from tests.cli.support import Command

from nexus import __version__
from nexus.cli import COMMANDS, lazy, main
from nexus.errors import StartError
from nexus.native import is_compiled

# What only some commands need, and what would make `--help` slow.
HEAVY = ("nexus.server", "nexus.http", "nexus.config", "rich.console", "asyncio", "uvloop", "textual")


def test_help_names_every_command(nexus: Command) -> None:
    result = nexus("--help")
    assert result.exit_code == 0
    for name, command in COMMANDS.items():
        assert f"  {name} " in result.output
        assert command.help in result.output


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from nexus.cli import main; main(['--help'], standalone_mode=False);"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("name", COMMANDS)
def test_only_a_screen_that_is_drawn_imports_textual(name: str) -> None:
    program = (
        f"import sys; from nexus.cli import main; main([{name!r}, '--help'], standalone_mode=False);"
        "print('TEXTUAL', 'textual' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "TEXTUAL False"


def test_help_costs_less_than_a_quarter_of_a_second() -> None:
    """Processor time, which is the wall clock's on an idle machine and says the same on a busy one."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once() -> float:
        before = spent()
        subprocess.run([sys.executable, "-m", "nexus", "--help"], check=True, stdout=subprocess.DEVNULL)
        return spent() - before

    assert min(once() for _ in range(5)) < 0.25


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_where_the_list_says_and_says_the_same_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.help is not None
    assert command.help.splitlines()[0] == COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(nexus: Command, name: str) -> None:
    assert nexus(name, "--help").exit_code == 0


def test_version(nexus: Command) -> None:
    build = " (compiled)" if is_compiled() else ""
    assert nexus("--version").output == f"nexus {__version__}{build}\n"


def test_an_unknown_command_is_refused(nexus: Command) -> None:
    result = nexus("server")
    assert result.exit_code == 2
    assert "No such command 'server'" in result.output


def test_what_the_operator_must_mend_is_one_line(nexus: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise StartError("port 6398 is in use")

    monkeypatch.setattr(lazy.LazyGroup, "get_command", lambda *_: broken)
    result = nexus("serve")
    assert result.exit_code == 2
    assert result.stderr == "Error: port 6398 is in use\n"
    assert result.stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_print_the_shells_script(nexus: Command, shell: str) -> None:
    result = nexus("completions", shell)
    assert result.exit_code == 0
    assert "_NEXUS_COMPLETE" in result.output


@pytest.mark.parametrize(
    ("begun", "commands"),
    [("ba", ["backends"]), ("to", ["top"]), ("l", ["logs"]), ("e", ["explain"]), ("", list(COMMANDS))],
)
def test_completion_knows_the_commands(begun: str, commands: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from nexus.cli import main; main(prog_name='nexus')"],
        env={"_NEXUS_COMPLETE": "bash_complete", "COMP_WORDS": f"nexus {begun}", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [f"plain,{name}" for name in commands]
