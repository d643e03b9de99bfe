"""Reading the schema: which keys a section has and what each takes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_origin, get_type_hints

import msgspec

from nexus.config.kinds import Setting


class Field(msgspec.Struct, frozen=True):
    """One key of a section.

    Attributes:
        key: the TOML spelling.
        name: the attribute's name.
        default: in force when nobody says anything.
        setting: what it takes, or ``None`` for a section.
        section: the nested section's type, or ``None`` for a setting.
    """

    key: str
    name: str
    default: Any
    setting: Setting | None
    section: type[msgspec.Struct] | None


@functools.cache
def fields(section: type[msgspec.Struct]) -> Mapping[str, Field]:
    """Return a section's keys in the order of the schema."""
    hints = get_type_hints(section, include_extras=True)
    found: dict[str, Field] = {}
    for field in msgspec.structs.fields(section):
        hint = hints[field.name]
        setting = hint.__metadata__[0] if get_origin(hint) is Annotated else None
        key = (setting.key if setting else "") or field.name
        found[key] = Field(key, field.name, field.default, setting, None if setting else hint)
    return MappingProxyType(found)


def leaves(section: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield every setting below a section with its dotted name."""
    for key, field in fields(section).items():
        if field.section is not None:
            yield from leaves(field.section, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", field
