"""``nexus top``."""

from __future__ import annotations

import os
import sys

import click

from nexus.cli.administration import Administration, place_options
from nexus.cli.lazy import Refused


@click.command()
@place_options
def top(*, url: str | None, token_env: str | None) -> None:
    """Watch backends, models and running requests move.

    Keys: ? shows them all, q quits. Needs a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        raise Refused(
            "nexus top draws on a terminal, and this is none that it can draw on. "
            "Use: nexus backends list   nexus models   nexus logs -f"
        )
    administration = Administration(url, token_env)
    # Who is not let in, or asks at the wrong place, is told in one line instead of on a screen.
    administration.requests(limit=1)

    from nexus.cli.top.app import Top  # noqa: PLC0415  # Textual is slow to import

    Top(administration).run()
