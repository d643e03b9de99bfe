"""Walking a table along its schema, with every refusal at its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from nexus.config.fields import Field, fields
from nexus.config.kinds import Mismatch, quoted, suggestion
from nexus.config.toml_file import Key
from nexus.errors import ConfigError

Place = Callable[[Key], str]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def dotted(key: Key) -> str:
    """Spell a key for people: ``backends[0].url``, ``routing.aliases."gpt-*"``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _BARE.fullmatch(part) else quoted(part)
            text += f".{word}" if text else word
    return text


def at(place: str, key: str, problem: object) -> ConfigError:
    """Make an error that names the place, the key and what was expected."""
    return ConfigError(f"{place}: {key}: {problem}" if key else f"{place}: {problem}")


def walk(
    section: type[msgspec.Struct], table: object, key: Key, place: Place
) -> Iterator[tuple[Key, Field, Any]]:
    """Yield every setting that a table sets, checked.

    Args:
        section: the schema.
        table: what TOML has for it.
        key: where the table stands.
        place: gives the file and line of a key.

    Raises:
        ConfigError: an unknown key or an impossible value.
    """
    if not isinstance(table, dict):
        raise at(place(key), dotted(key), f"expected a table, [{dotted(key)}]")
    known = fields(section)
    for name, raw in table.items():
        here = (*key, name)
        if name not in known:
            where = f"[{dotted(key)}] has no key" if key else "there is no section or key"
            raise at(place(here), "", f"{where} {quoted(name)}{suggestion(name, known)}")
        field = known[name]
        if field.section is not None:
            yield from walk(field.section, raw, here, place)
        elif field.setting is not None:
            try:
                yield here, field, field.setting.kind.accept(raw)
            except Mismatch as error:
                inner = (*here, *error.key)
                raise at(place(inner), dotted(inner), error) from None
