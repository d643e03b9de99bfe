"""Reading what a server answered: whatever is not of the expected kind is as if it were not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rows(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    found = answer.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def part(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an object."""
    found = answer.get(name)
    return found if isinstance(found, dict) else {}


def number(answer: Mapping[str, Any], name: str) -> float | None:
    """Return a number; ``True`` is none."""
    found = answer.get(name)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def count(answer: Mapping[str, Any], name: str) -> int:
    """Return a whole number, or 0."""
    return int(number(answer, name) or 0)
