"""``nexus backends``."""

from __future__ import annotations

import time
from typing import Any

import click

from nexus.cli.detect import detect
from nexus.cli.remote import Unanswered, connect, server_options
from nexus.cli.show import duration, print_json, print_table
from nexus.domain import BackendStatus


@click.group()
def backends() -> None:
    """Look at the backends of a running Nexus."""


backends.add_command(detect)


@backends.command("list")
@click.option(
    "--status",
    type=click.Choice([status.value for status in BackendStatus]),
    help="Only those in this status.",
)
@server_options
def list_backends(*, status: str | None, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List the backends, their status and why."""
    known = connect(url, api_key).get("/health?verbose=1").get("backends")
    items = known.get("items") if isinstance(known, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Unanswered("This Nexus shows its backends only to callers on its own computer.")
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
        click.echo("No backends: name one with: nexus serve --backend URL   or in nexus.toml", err=True)


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    models, slots = item.get("models"), item.get("slots")
    return (
        item.get("name"),
        f"{item.get('status')}, draining" if item.get("draining") else item.get("status"),
        _age(item.get("since")),
        " ".join(str(part) for part in (item.get("type"), item.get("version")) if part),
        len(models) if isinstance(models, list) else models,
        f"{item.get('in_flight', 0)}/{slots}" if slots else item.get("in_flight", 0),
        item.get("priority"),
        item.get("source"),
        item.get("url"),
        item.get("reason"),
    )


def _age(since: object) -> object:
    """Turn Unix seconds into how long ago that was."""
    if not isinstance(since, int | float):
        return since
    return duration(time.time() - since)  # noqa: TID251 - a display at one moment; nothing waits on it
