"""The example file, written from the schema so that it cannot fall behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import msgspec

from nexus.config.fields import Field, fields
from nexus.config.kinds import MapOf, Tables
from nexus.config.schema import Config
from nexus.config.show import toml
from nexus.config.tables import BackendTable, ModelTable

_WIDTH = 100
_INTRO = """\
Nexus configuration. None of it is needed: every line that begins with "#" and a key shows the
default or, where there is none, an example. Take away the "#" and change the value.

Nexus reads the file named by --config or NEXUS_CONFIG, else nexus.toml in the folder where it
starts, else nexus.toml in your configuration folder. Flags win over NEXUS_* variables, and those
over this file. "nexus config check FILE" says whether a file is right, and "nexus config show"
what is in force and where it came from."""


def render() -> str:
    """Return a complete, commented file: valid as it is, and with every key uncommented."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (f"# {line}".rstrip() for line in _INTRO.split("\n"))
    yield from _section(Config, "")


def _section(section: type[msgspec.Struct], name: str) -> Iterator[str]:
    for key, field in fields(section).items():
        path = f"{name}.{key}" if name else key
        if field.section is not None:
            yield from _header(f"[{path}]", field.section)
            yield from _section(field.section, path)
        elif field.setting is not None and isinstance(field.setting.kind, MapOf):
            # Free keys stand in a table of their own; it comes after the section's plain keys.
            yield ""
            yield from _prose(field.setting.doc)
            yield f"[{path}]"
            yield f"#{field.setting.example}"
        elif field.setting is not None and isinstance(field.setting.kind, Tables):
            yield from _header("[[backends]]", BackendTable, comment="#")
            yield from _keys(BackendTable)
            yield from _header("[[backends.model]]", ModelTable, comment="#")
            yield from _keys(ModelTable)
        else:
            yield from _key(field)


def _header(header: str, section: type[msgspec.Struct], comment: str = "") -> Iterator[str]:
    yield ""
    yield from _prose((section.__doc__ or "").partition("\n")[0])
    yield f"{comment}{header}"


def _keys(section: type[msgspec.Struct]) -> Iterator[str]:
    for field in fields(section).values():
        if field.setting is not None and not isinstance(field.setting.kind, Tables):
            yield from _key(field)


def _key(field: Field) -> Iterator[str]:
    if field.setting is None:
        return
    yield from _prose(field.setting.doc)
    yield f"#{field.key} = {field.setting.example or toml(field.default)}"


def _prose(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
