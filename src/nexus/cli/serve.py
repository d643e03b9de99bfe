"""``nexus serve``: load the configuration and hand over to the server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from nexus.config.load import default_path, load
from nexus.server import run


@click.command(epilog="Flags win over NEXUS_* variables, these over the file, the file over the defaults.")
@click.option("-c", "--config", metavar="FILE", type=click.Path(path_type=Path), help="TOML configuration.")
@click.option("-H", "--host", metavar="HOST", help="Address to listen on (default 127.0.0.1).")
@click.option("-p", "--port", metavar="PORT", help="Port to listen on (default 6398; 0 takes a free one).")
@click.option("-l", "--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option(
    "--backend",
    "backends",
    metavar="[NAME=]URL",
    multiple=True,
    help="A server to route to; may be repeated. Its type is detected.",
)
@click.option("--no-health-check", is_flag=True, help="Do not poll the backends.")
def serve(
    *,
    config: Path | None,
    host: str | None,
    port: str | None,
    log_level: str | None,
    backends: tuple[str, ...],
    no_health_check: bool,
) -> None:
    """Run the gateway."""
    overrides = {
        "server.host": host,
        "server.port": port,
        "logging.level": log_level,
        "health_check.enabled": False if no_health_check else None,
        "backends": backends or None,
    }
    path = config if config is not None else default_path(os.environ, Path.cwd())
    sys.exit(run(load(path, os.environ, overrides), announce=click.echo))
