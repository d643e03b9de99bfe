"""Reads of JSON that somebody else wrote: any wrong type is an absent value, nothing raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

Row = Mapping[str, Any]

MAX_ROWS: Final = 10_000
MAX_NAME: Final = 512
MAX_COUNT: Final = 1_000_000_000
MAX_SECONDS: Final = 1 << 40

_EMPTY: Final[Row] = {}


def decode(body: bytes) -> object:
    """Decode JSON; ``None`` for everything that is not (nesting bombs and bad UTF-8 included)."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def mapping(value: object) -> Row:
    """Return ``value`` when it is an object, else an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def rows(value: object) -> Iterator[Row]:
    """Yield the objects of an array, at most ``MAX_ROWS`` elements far; else nothing."""
    if isinstance(value, list):
        yield from (item for item in value[:MAX_ROWS] if isinstance(item, dict))


def strings(value: object) -> frozenset[str] | None:
    """Return the lower-case strings of an array, or ``None`` when it is none or empty."""
    if not isinstance(value, list):
        return None
    return frozenset(item.lower() for item in value[:MAX_ROWS] if isinstance(item, str)) or None


def name(value: object) -> str:
    """Return a usable model name, else ``""``.

    Control characters, lone surrogates and over-long names could not travel in a header or a
    request and are refused.
    """
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and value.strip():
        return value
    return ""


def text(value: object, limit: int = 200) -> str:
    """Return a string without control characters, at most ``limit`` long, else ``""``."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value[:limit] if c.isprintable()).strip()


def count(value: object, most: int = MAX_COUNT) -> int | None:
    """Return a whole number from 1 to ``most``; ``true`` and negative numbers are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if 1 <= value <= most and value == int(value):
        return int(value)
    return None


def flag(value: object) -> bool | None:
    """Return ``true`` or ``false``, and ``None`` for anything else."""
    return value if isinstance(value, bool) else None


def first_count(row: Row, fields: Iterable[str]) -> int | None:
    """Return the first usable :func:`count` among ``fields``; ``"meta.n_ctx"`` reads inside."""
    for field in fields:
        outer, _, inner = field.partition(".")
        value = mapping(row.get(outer)).get(inner) if inner else row.get(outer)
        if (number := count(value)) is not None:
            return number
    return None
