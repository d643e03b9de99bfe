"""Settings from ``NEXUS_*`` variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus.config.backends import Entry, from_text
from nexus.config.fields import Field, leaves
from nexus.config.kinds import FileName, Mismatch, nearest
from nexus.config.reading import at
from nexus.config.schema import Config
from nexus.config.state_folder import STATE_DIR

SHORT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NEXUS_HOST": "server.host",
        "NEXUS_PORT": "server.port",
        "NEXUS_LOG_LEVEL": "logging.level",
        "NEXUS_LOG_FORMAT": "logging.format",
        "NEXUS_DISCOVERY": "discovery.enabled",
        "NEXUS_HEALTH_CHECK": "health_check.enabled",
    }
)
API_KEY: Final = "NEXUS_API_KEY"
BACKENDS: Final = "NEXUS_BACKENDS"
CONFIG: Final = "NEXUS_CONFIG"
ADMIN_TOKEN: Final = "NEXUS_ADMIN_TOKEN"  # noqa: S105  the name of a variable
"""What the command line shows a running server for ``/admin``."""
_OTHERS: Final = frozenset({API_KEY, BACKENDS, CONFIG, ADMIN_TOKEN, STATE_DIR})
# The test suite's own: it turns a skip of a real-server test into a failure.
_TESTS: Final = "NEXUS_CI"
_GENERAL: Final = "NEXUS__"
# Kubernetes describes a service named "nexus" to every container in these; they are not for us.
_KUBERNETES: Final = re.compile(r"NEXUS_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_KUBERNETES_PORT: Final = re.compile(r"(tcp|udp|sctp)://")


class Value(msgspec.Struct, frozen=True):
    """A checked value and where it came from."""

    value: Any
    origin: str


def settings(environ: Mapping[str, str]) -> dict[str, Value]:
    """Read every variable that sets one key.

    Args:
        environ: the environment; empty variables count as unset.

    Returns:
        Dotted key to value.

    Raises:
        ConfigError: an unknown ``NEXUS__`` name, an impossible value, or two variables that
            set one key differently.
    """
    known = {name: field for name, field in leaves(Config) if field.setting and field.setting.kind.scalar}
    found: dict[str, Value] = {}
    for variable in sorted(environ):
        text = environ[variable]
        dotted = _dotted(variable, text, known)
        if dotted is None:
            continue
        place = f"environment {variable}"
        value = Value(_parse(known[dotted], text, place, dotted), place)
        other = found.setdefault(dotted, value)
        if other.value != value.value:
            raise at(place, dotted, f"expected one value; {other.origin} sets another")
    return found


def backends(environ: Mapping[str, str]) -> list[Entry]:
    """Read ``NEXUS_BACKENDS``: ``name=url`` or URLs, separated by commas."""
    parts = [part.strip() for part in environ.get(BACKENDS, "").split(",")]
    return [
        from_text(part, f"environment {BACKENDS}, entry {number}")
        for number, part in enumerate(parts, 1)
        if part
    ]


def unknown(environ: Mapping[str, str], referenced: Iterable[str]) -> list[str]:
    """Return a warning for each ``NEXUS_`` variable that nothing reads.

    Args:
        environ: the environment.
        referenced: names that the configuration itself mentions.
    """
    words = {name.removeprefix("NEXUS_") for name in (*SHORT, *_OTHERS)}
    known = {*SHORT, *_OTHERS, _TESTS, *referenced}
    warnings: list[str] = []
    for variable in sorted(environ):
        ours = variable.startswith("NEXUS_") and not variable.startswith(_GENERAL)
        if not ours or variable in known or _KUBERNETES.fullmatch(variable):
            continue
        near = nearest(variable.removeprefix("NEXUS_"), words)
        hint = f"; did you mean NEXUS_{near}?" if near else ""
        warnings.append(f"environment {variable}: Nexus reads no variable of this name{hint}")
    port = environ.get("NEXUS_PORT", "")
    if _KUBERNETES_PORT.match(port):
        warnings.append(
            "environment NEXUS_PORT: left alone: Kubernetes set it for a service named nexus "
            "(enableServiceLinks: false keeps it out)"
        )
    return warnings


def _dotted(variable: str, text: str, known: Mapping[str, Field]) -> str | None:
    if not text.strip():
        return None
    if variable in SHORT:
        kubernetes = variable == "NEXUS_PORT" and _KUBERNETES_PORT.match(text)
        return None if kubernetes else SHORT[variable]
    if not variable.startswith(_GENERAL):
        return None
    dotted = variable.removeprefix(_GENERAL).lower().replace("__", ".")
    if dotted.partition(".")[0] == "backends":
        raise at(
            f"environment {variable}", "", f'expected backends in {BACKENDS}="name=url,..." or in the file'
        )
    if dotted not in known:
        names = {name: _GENERAL + name.replace(".", "__").upper() for name in known}
        near = nearest(dotted, names)
        hint = f"; did you mean {names[near]}?" if near else "; NEXUS__SERVER__PORT is one"
        raise at(f"environment {variable}", "", f"there is no setting of this name{hint}")
    return dotted


def _parse(field: Field, text: str, place: str, dotted: str) -> object:
    assert field.setting is not None  # noqa: S101  leaves() yields settings only
    kind = field.setting.kind
    try:
        value = kind.parse(text.strip())
        return kind.resolved(value) if isinstance(kind, FileName) else value
    except Mismatch as error:
        raise at(place, dotted, error) from None
