"""``nexus config``: write, check and show the configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from nexus.config.example import render
from nexus.config.load import Loaded, default_path, load
from nexus.config.show import Row, show, toml
from nexus.errors import ConfigError


class _Refused(click.ClickException):
    exit_code = 2


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn an operator's mistake into one line and exit code 2."""
    try:
        yield
    except ConfigError as error:
        raise _Refused(str(error)) from None


@click.group()
def config() -> None:
    """Write, check and show the configuration."""


@config.command()
@click.option("-o", "--output", default="nexus.toml", show_default=True, help="File to write; - is stdout.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(output: str, *, force: bool) -> None:
    """Write a commented configuration file with every setting."""
    if output == "-":
        click.echo(render(), nl=False)
        return
    try:
        with Path(output).open("w" if force else "x", encoding="utf-8") as file:
            file.write(render())
    except FileExistsError:
        raise _Refused(f"{output} is there already; --force replaces it") from None
    except OSError as error:
        raise _Refused(f"{output} cannot be written: {error.strerror}") from None
    click.echo(f"Wrote {output}. Nothing in it is in force until you take away a #.")


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Say whether Nexus would start with FILE in this environment."""
    with _one_line():
        loaded = load(file, os.environ)
    _warn(loaded)
    count = len(loaded.config.backends)
    out = f", {len(loaded.left_out)} left out" if loaded.left_out else ""
    click.echo(f"{file} is right: {count} {'backend' if count == 1 else 'backends'}{out}.")


@config.command("show")
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), help="File to read.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
def show_command(file: Path | None, *, as_json: bool) -> None:
    """Show every setting in force and where it came from; secrets are masked."""
    with _one_line():
        loaded = load(file or default_path(os.environ, Path.cwd()), os.environ)
    _warn(loaded)
    rows = show(loaded)
    if as_json:
        settings = [msgspec.to_builtins(row) for row in rows]
        document = {"path": str(loaded.path) if loaded.path else None, "settings": settings}
        click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
        return
    click.echo(f"# {loaded.path or 'no configuration file'}")
    click.echo(_table(rows))


def _table(rows: tuple[Row, ...]) -> str:
    cells = [(row.key, "-" if row.value is None else toml(row.value), row.origin) for row in rows]
    keys = max(len(key) for key, _, _ in cells)
    # One long value must not push every origin out of sight.
    values = min(max(len(value) for _, value, _ in cells), 40)
    return "\n".join(f"{key:<{keys}}  {value:<{values}}  {origin}" for key, value, origin in cells)


def _warn(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", file=sys.stderr)
