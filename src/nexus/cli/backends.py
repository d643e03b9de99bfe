"""``nexus backends``."""

from __future__ import annotations

import time
from typing import Any

import click

from nexus.cli.administration import Administration, admin_options
from nexus.cli.change_backends import add, check, drain, enable, remove
from nexus.cli.detect import detect
from nexus.cli.show import duration, print_json, print_table
from nexus.domain import BackendStatus


@click.group()
def backends() -> None:
    """Look at the backends of a running Nexus, and change them."""


for command in (add, remove, drain, enable, check, detect):
    backends.add_command(command)


@backends.command("list")
@click.option(
    "--status",
    type=click.Choice([status.value for status in BackendStatus]),
    help="Only those in this status.",
)
@admin_options
def list_backends(*, status: str | None, url: str | None, token_env: str | None, as_json: bool) -> None:
    """List the backends, their status and why."""
    items = Administration(url, token_env).list()
    chosen = [item for item in items if status is None or item.get("status") == status]
    if as_json:
        print_json(chosen)
    elif chosen:
        columns = (
            "Name",
            "Status",
            "For",
            "Type",
            "Models",
            "In flight",
            "Priority",
            "Source",
            "URL",
            "Reason",
        )
        print_table(columns, [_row(item) for item in chosen])
    elif items:
        click.echo(f"No backend is {status}.", err=True)
    else:
        click.echo("No backends: add one with: nexus backends add URL   or name it in nexus.toml", err=True)


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    models, slots = item.get("models"), item.get("slots")
    return (
        item.get("name"),
        _status(item),
        _age(item.get("since")),
        " ".join(str(part) for part in (item.get("type"), item.get("version")) if part),
        len(models) if isinstance(models, list) else models,
        f"{item.get('in_flight', 0)}/{slots}" if slots else item.get("in_flight", 0),
        item.get("priority"),
        _source(item),
        item.get("url"),
        item.get("reason"),
    )


def _source(item: dict[str, Any]) -> str:
    """Return where it came from; ``mDNS 'Kitchen'`` and ``peer box:8000`` say the source themselves."""
    source, found_by = str(item.get("source") or ""), str(item.get("found_by") or "")
    if source and found_by.casefold().startswith(source.casefold()):
        return found_by
    return ": ".join(filter(None, (source, found_by)))


def _status(item: dict[str, Any]) -> object:
    state = "leaving" if item.get("leaving") else "draining" if item.get("draining") else ""
    return f"{item.get('status')}, {state}" if state else item.get("status")


def _age(since: object) -> object:
    """Turn Unix seconds into how long ago that was."""
    if not isinstance(since, int | float):
        return since
    return duration(time.time() - since)  # noqa: TID251 - a display at one moment; nothing waits on it
