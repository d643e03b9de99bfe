"""Tables for people and JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows; on a terminal they fit its width, in a pipe every row is one whole line."""
    console().print(table(columns, rows))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """Return rows as a table; the columns named in ``right`` hold figures."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(
            column,
            overflow="fold",
            no_wrap=not sys.stdout.isatty(),
            justify="right" if column in right else "left",
        )
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row))
    return drawn


def console() -> Console:
    """Return where people read: as wide as the terminal, and in a pipe as wide as it takes."""
    wide = None if sys.stdout.isatty() else 10_000
    return Console(file=sys.stdout, width=wide, highlight=False, soft_wrap=False)


def clean(cell: object) -> str:
    """Return a cell's text: names come from other servers and may hold what moves a terminal's cursor."""
    text = "" if cell is None else str(cell)
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def duration(seconds: float) -> str:
    """Return ``seconds`` in the largest two units that matter."""
    whole = int(max(0.0, seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def span(seconds: float | None) -> str:
    """Return how long something took, in three figures or so; nothing for what is not known."""
    if seconds is None:
        return ""
    if seconds < 1.0:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    return f"{seconds:.{2 if seconds < 10 else 1}f} s" if seconds < 120 else duration(seconds)
