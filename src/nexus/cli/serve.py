"""``nexus serve``: load the configuration and hand over to the server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from nexus.config.source import Source
from nexus.server import run

_TEXTS: Final = MappingProxyType({"host": "server.host", "port": "server.port", "log_level": "logging.level"})
_SWITCHES: Final = MappingProxyType(
    {
        "no_health_check": ("health_check.enabled", False),
        "no_discovery": ("discovery.enabled", False),
        "advertise": ("discovery.advertise", True),
        "open": ("discovery.open", True),
    }
)


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
@click.option("--no-discovery", is_flag=True, help="Do not look for backends.")
@click.option("--advertise", is_flag=True, help="Announce this Nexus on the network.")
@click.option("--open", is_flag=True, help="Announce it although it asks clients for no key.")
def serve(*, config: Path | None, backends: tuple[str, ...], **given: str | bool | None) -> None:
    """Run the gateway."""
    overrides = {setting: given[name] for name, setting in _TEXTS.items()}
    overrides |= {setting: on for name, (setting, on) in _SWITCHES.items() if given[name]}
    source = Source(config, os.environ, {**overrides, "backends": backends or None}, Path.cwd())
    sys.exit(run(source.load(source.find()), source, announce=click.echo))
