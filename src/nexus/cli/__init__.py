"""The command line."""

from __future__ import annotations

import click

from nexus import __version__
from nexus.cli.lazy import Lazy, LazyGroup
from nexus.native import is_compiled

COMMANDS = {
    "serve": Lazy("nexus.cli.serve:serve", "Run the gateway."),
    "demo": Lazy("nexus.demo.command:demo", "Watch two real servers, a chat, a kill -9 and the failover."),
    "models": Lazy("nexus.cli.models:models", "List the models that a running Nexus serves."),
    "backends": Lazy(
        "nexus.cli.backends:backends", "Look at the backends of a running Nexus, and change them."
    ),
    "explain": Lazy("nexus.cli.explain:explain", "Tell why a request went where it went."),
    "logs": Lazy("nexus.cli.logs:logs", "Show the last requests, a line each."),
    "top": Lazy("nexus.cli.top.command:top", "Watch backends, models and running requests move."),
    "health": Lazy("nexus.cli.health:health", "Ask a running Nexus how it is."),
    "config": Lazy("nexus.cli.config:config", "Write, check and show the configuration."),
    "completions": Lazy("nexus.cli.completions:completions", "Print a shell's completion script."),
}


@click.group(cls=LazyGroup, commands_by_path=COMMANDS)
@click.version_option(
    f"{__version__} (compiled)" if is_compiled() else __version__,
    prog_name="nexus",
    message="%(prog)s %(version)s",
)
def main() -> None:
    """One OpenAI endpoint over every inference server around it."""
