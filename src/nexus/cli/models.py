"""``nexus models``."""

from __future__ import annotations

from typing import Any

import click

from nexus.cli.remote import connect, server_options
from nexus.cli.show import print_json, print_table


@click.command()
@server_options
def models(*, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List the models that a running Nexus serves."""
    server = connect(url, api_key)
    answer = server.get("/v1/models")
    rows = answer.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise server.not_nexus()
    if as_json:
        print_json(answer)
        return
    if not rows:
        click.echo("No models: look at the backends with: nexus backends list", err=True)
        return
    print_table(
        ("Model", "Available", "Context", "Can", "Owned by"),
        [
            (
                row.get("id"),
                "yes" if row.get("available", True) else "no",
                row.get("context_length"),
                _can(row.get("capabilities")),
                row.get("owned_by"),
            )
            for row in rows
        ],
    )


def _can(capabilities: Any) -> str:  # noqa: ANN401 - whatever the server sent
    """Name what is known to be there; unknown and absent are left out."""
    if not isinstance(capabilities, dict):
        return ""
    return ", ".join(name for name, has in capabilities.items() if has is True)
