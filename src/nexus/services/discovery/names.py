"""Readable names for what was found.

Pure. A name goes into ``name/model`` pins, headers, metrics and command lines, and part of it
may come from whoever announces a service, hence the few characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable
from typing import Final

MAX_LENGTH: Final = 63
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._]+")
_EDGES: Final = "-._"


def readable(text: str) -> str:
    """Return ``text`` in letters, digits, ``.``, ``_`` and ``-``; empty when nothing is left of it.

    Accents are taken off letters; a run of anything else becomes one hyphen.
    """
    text = text.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    plain = unicodedata.normalize("NFKD", text[: 4 * MAX_LENGTH]).encode("ascii", "ignore").decode()
    return _UNSAFE.sub("-", plain).strip(_EDGES)[:MAX_LENGTH].rstrip(_EDGES)


def first_readable(suggestions: Iterable[str], otherwise: str) -> str:
    """Return the first suggestion of which something is left, readable."""
    return next(filter(None, map(readable, suggestions)), otherwise)


def unique(name: str, taken: Container[str]) -> str:
    """Return ``name``, or with the first of ``-2``, ``-3`` that makes it free.

    Args:
        name: readable.
        taken: case-folded names of others: two that differ in case alone mislead people.
    """
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        suffix = f"-{number}"
        free = name[: MAX_LENGTH - len(suffix)].rstrip(_EDGES) + suffix
    return free
