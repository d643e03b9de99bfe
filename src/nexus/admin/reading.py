"""Reading what somebody sent to ``/admin``, with refusals that name the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nexus.config.kinds import Mismatch
from nexus.config.manual import FIELDS
from nexus.errors import InvalidRequest

STATES: Final = ("drain", "enabled")


def read(reader: Callable[..., Any], raw: object) -> Any:  # noqa: ANN401  whatever the reader makes of it
    """Return what ``reader`` makes of a decoded JSON value.

    Raises:
        InvalidRequest: it cannot be taken; ``param`` names the field.
    """
    try:
        return reader(raw)
    except Mismatch as error:
        param = error.key[0] if error.key else None
        named = f"{param}: {error}" if param in (*FIELDS, *STATES) else str(error)
        raise InvalidRequest(f"The body cannot be taken: {named}.", param=param) from None
