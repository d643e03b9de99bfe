"""``nexus completions``: the shell's completion script (click's ``shell_completion``)."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completions(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    \b
    bash: nexus completions bash >> ~/.bashrc
    zsh:  nexus completions zsh >> ~/.zshrc
    fish: nexus completions fish > ~/.config/fish/completions/nexus.fish
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click completes no {shell}")
    click.echo(kind(ctx.find_root().command, {}, "nexus", "_NEXUS_COMPLETE").source())
