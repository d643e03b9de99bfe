"""A click group that imports a command when it is used, so that ``--help`` answers at once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from nexus.errors import StartError


class Lazy(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        path: ``module:attribute``.
        help: its line in the group's help; the same as the command's own.
    """

    path: str
    help: str


class Refused(click.ClickException):
    """The command cannot run: one line on standard error, exit code 2, no traceback."""

    exit_code = 2


class LazyGroup(click.Group):
    """The top of the command line.

    Args:
        commands_by_path: name to command; the order is the help's.
        rest: what :class:`click.Group` takes.
    """

    def __init__(self, *, commands_by_path: Mapping[str, Lazy], **rest: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(**rest)
        self._lazy = commands_by_path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].path.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command; what the operator has to mend is said in one line."""
        try:
            return super().invoke(ctx)
        except StartError as error:
            raise Refused(str(error)) from None
