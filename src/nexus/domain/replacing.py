"""One way to change a frozen value, whatever its class is made of."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def replace(value: T, **changes: Any) -> T:  # noqa: ANN401  # a field can have any type
    """Return ``value`` with other fields.

    Values are structs of msgspec; in a compiled build some are native classes, which msgspec does
    not know.

    Raises:
        TypeError: it has no such field.
    """
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    other: T = value.__replace__(**changes)  # type: ignore[attr-defined]  # what a compiled value has
    return other
