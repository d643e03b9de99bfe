"""One row of the result: a figure, what it should be, and whether it counts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec


class Target(msgspec.Struct, frozen=True):
    """A bound: ``value`` at least, or at most."""

    value: float
    at_least: bool = False

    def met(self, figure: float) -> bool:
        """Whether ``figure`` keeps to it."""
        return figure >= self.value if self.at_least else figure <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.value:g}"


class Row(msgspec.Struct, frozen=True):
    """One figure.

    Attributes:
        what: the name of what was measured.
        value: the figure.
        unit: of the figure and of its target.
        target: ``None`` when the row only informs.
        detail: what the figure was made of.
        void: why the figure does not count; empty when it does.
    """

    what: str
    value: float
    unit: str
    target: Target | None = None
    detail: str = ""
    void: str = ""

    @property
    def verdict(self) -> str:
        """One word."""
        if self.void:
            return "void"
        if self.target is None:
            return "-"
        return "met" if self.target.met(self.value) else "missed"


class Result(msgspec.Struct, frozen=True):
    """What one scenario found.

    Attributes:
        rows: its figures.
        raw: every sample, as JSON can hold it.
        bad: failed replies or streams, over all of it.
    """

    rows: tuple[Row, ...]
    raw: dict[str, Any]
    bad: int = 0


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """Return a median with its range, such as ``12 (10-15)``."""
    if not values:
        return "none"
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def show(row: Row) -> str:
    """Return a row as a line for the terminal."""
    target = "" if row.target is None else f"{row.target} {row.unit}"
    line = f"{row.what:<44} {row.value:>10.2f} {row.unit:<10} {target:<16} {row.verdict:<7} {row.detail}"
    return line.rstrip() + (f"\n{'':<44} void: {row.void}" if row.void else "")
