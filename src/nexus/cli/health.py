"""``nexus health``: for people, and as a container's health check."""

from __future__ import annotations

import click

from nexus.cli.remote import Unanswered, connect, server_options
from nexus.cli.show import duration, print_json


@click.command()
@server_options
def health(*, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Ask a running Nexus how it is.

    Exit code 0 when it can serve (healthy or degraded), 1 when it cannot or does not answer.
    """
    server = connect(url, api_key)
    answer = server.get("/health")
    backends = answer.get("backends")
    if not isinstance(backends, dict) or "status" not in answer:
        raise server.not_nexus()
    if as_json:
        print_json(answer)
    else:
        up = duration(float(answer.get("uptime_seconds") or 0))
        click.echo(f"{answer['status']}: nexus {answer.get('version')}, up {up}")
        click.echo(
            f"backends: {backends.get('healthy')} of {backends.get('total')} healthy; "
            f"models: {answer.get('models')}"
        )
    if answer["status"] not in {"healthy", "degraded"}:
        raise Unanswered(
            "No backend can serve; see why with: nexus backends list"
            if backends.get("total")
            else "There are no backends: name one with: nexus serve --backend URL   or in nexus.toml"
        )
