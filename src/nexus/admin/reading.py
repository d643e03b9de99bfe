"""What a body of ``/admin/backends`` says, or why it cannot be taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from nexus.config.kinds import Mismatch, suggestion
from nexus.config.manual import CHANGEABLE, FIELDS, read_fields
from nexus.errors import InvalidRequest

_STATES: Final = ("drain", "enabled")
_Read = TypeVar("_Read")


def understood(reader: Callable[[object], _Read], raw: object) -> _Read:
    """Return what ``reader`` makes of ``raw``.

    Raises:
        InvalidRequest: nothing; it names the field.
    """
    try:
        return reader(raw)
    except Mismatch as error:
        param = error.key[0] if error.key else None
        named = f"{param}: {error}" if param in (*FIELDS, *_STATES) else str(error)
        raise InvalidRequest(f"The body cannot be taken: {named}.", param=param) from None


def changes(raw: object) -> tuple[dict[str, Any], bool | None]:
    """Read what is to be changed: settings, and whether the backend is to drain.

    Raises:
        Mismatch: a field is unknown or impossible, or cannot be changed.
    """
    if not isinstance(raw, dict):
        raise Mismatch("expected a JSON object")
    for name in raw:
        if name in FIELDS and name not in CHANGEABLE:
            raise Mismatch("this cannot be changed; remove the backend and add it anew", (name,))
        if name not in CHANGEABLE and name not in _STATES:
            raise Mismatch(
                f"there is no field {_quoted(name)}{suggestion(name, (*CHANGEABLE, *_STATES))}", (name,)
            )
    states = {name: raw[name] for name in _STATES if name in raw}
    for name, value in states.items():
        if not isinstance(value, bool):
            raise Mismatch("expected true or false", (name,))
    wanted = {value if name == "drain" else not value for name, value in states.items()}
    if len(wanted) > 1:
        raise Mismatch('"drain" and "enabled" contradict each other', ("enabled",))
    values = read_fields({name: raw[name] for name in raw if name in CHANGEABLE}, CHANGEABLE)
    return values, wanted.pop() if wanted else None


def _quoted(name: object) -> str:
    text = str(name)[:40]
    return f'"{text}"' if text.isprintable() else "of this name"
