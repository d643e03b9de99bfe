"""A backend that somebody named while Nexus runs: its fields are those of a ``[[backends]]`` table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from nexus.config.backends import Entry, default_name, spec
from nexus.config.fields import fields
from nexus.config.keys import backend_key, spoken
from nexus.config.kinds import Mismatch, quoted, suggestion
from nexus.config.tables import BackendTable
from nexus.config.url import BackendUrl, parse_url
from nexus.domain import BackendSpec, BackendType, DiscoverySource, replace

FOUND_BY: Final = "/admin/backends"
FIELDS: Final = ("url", "name", "type", "priority", "slots", "api_key_env")
CHANGEABLE: Final = ("priority", "slots")
_MAY_BE_NULL: Final = frozenset({"name", "type", "slots", "api_key_env"})


class Manual(msgspec.Struct, frozen=True, omit_defaults=True):
    """One backend, checked; what of it survives a restart.

    Law: there is no key in here, only the name of the variable that holds it.
    """

    name: str
    url: str
    type: BackendType | None = None
    priority: int = 50
    slots: int | None = None
    api_key_env: str | None = None
    draining: bool = False

    @property
    def parsed(self) -> BackendUrl:
        """Its address, taken apart."""
        return parse_url(self.url)


def read_fields(raw: object, allowed: Iterable[str]) -> dict[str, Any]:
    """Check a JSON object against the settings of a backend.

    Args:
        raw: as it was decoded.
        allowed: names of the settings that may stand in it.

    Returns:
        The values by name; ``null`` stands for what a table leaves out.

    Raises:
        Mismatch: it is no object, has another field or an impossible value; ``key`` names it.
    """
    if not isinstance(raw, dict):
        raise Mismatch("expected a JSON object")
    names = tuple(allowed)
    known = fields(BackendTable)
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in names:
            raise Mismatch(f"there is no field {quoted(name)}{suggestion(name, names)}", (name,))
        setting = known[name].setting
        if value is None and name in _MAY_BE_NULL:
            values[name] = known[name].default
        elif setting is not None:
            try:
                values[name] = setting.kind.accept(value)
            except Mismatch as error:
                raise Mismatch(str(error), (name,)) from None
    return values


def read_manual(raw: object, draining: bool = False) -> tuple[Manual, bool]:
    """Check what somebody says of a new backend.

    Returns:
        The backend, and whether its name was given and not made from its address.

    Raises:
        Mismatch: see :func:`read_fields`; or there is no URL or an impossible one.
    """
    values = read_fields(raw, FIELDS)
    if "url" not in values:
        raise Mismatch('expected a field "url", such as "http://host:8000"', ("url",))
    try:
        url = parse_url(values["url"])
    except Mismatch as error:
        raise Mismatch(str(error), ("url",)) from None
    named = bool(values.get("name"))
    name = values["name"] if named else default_name(url)
    return Manual(**values | {"name": name, "url": str(url), "draining": draining}), named


def manual_spec(manual: Manual, environ: Mapping[str, str]) -> BackendSpec:
    """Make its specification, with the key that its variable holds now.

    Raises:
        Mismatch: the variable is not set or holds what cannot be a key.
    """
    key = None
    if manual.api_key_env is not None:
        key = backend_key(manual.api_key_env, environ)
        if key is None:
            raise Mismatch(
                f"expected a key in {spoken(manual.api_key_env)}, which is not set where Nexus runs: "
                "set it there and start Nexus again",
                ("api_key_env",),
            )
    table = BackendTable(
        name=manual.name,
        url=manual.url,
        type=manual.type,
        priority=manual.priority,
        slots=manual.slots,
        api_key_env=manual.api_key_env,
    )
    made = spec(Entry(table, manual.parsed, FOUND_BY, {}), key)
    return replace(made, source=DiscoverySource.MANUAL, found_by=FOUND_BY)
