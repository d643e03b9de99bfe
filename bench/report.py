"""Raw data of a run, and the table that is made from it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.machine import RAW, ROOT
from bench.rows import Row

RESULTS: Final = ROOT / "bench" / "RESULTS.md"
_BEGIN: Final = "<!-- {}: written by `python -m bench table`, from the raw data of one run -->"
_END: Final = "<!-- end of {} -->"


class Run(msgspec.Struct, frozen=True):
    """One run of the suite.

    Attributes:
        machine: see :func:`bench.machine.facts`.
        quick: whether its figures mean nothing.
        seconds: how long it took.
        rows: the table.
        raw: scenario to its samples.
    """

    machine: dict[str, str]
    quick: bool
    seconds: float
    rows: tuple[Row, ...]
    raw: dict[str, Any]


def save(run: Run) -> Path:
    """Write a run under ``bench/raw`` and return its file."""
    RAW.mkdir(exist_ok=True)
    kind = "quick" if run.quick else "full"
    path = RAW / f"{time.strftime('%Y%m%d-%H%M%S')}-{kind}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    return path


def load(path: Path | None) -> Run:
    """Read a run; the newest full one without ``path``.

    Raises:
        FileNotFoundError: there is none.
    """
    if path is None:
        found = sorted(RAW.glob("*-full.json"))
        if not found:
            raise FileNotFoundError("there is no full run under bench/raw: make one with `make bench`")
        path = found[-1]
    return msgspec.json.decode(path.read_bytes(), type=Run)


def table(run: Run) -> str:
    """Return a run as Markdown: the machine, then the rows."""
    lines = [f"- {name}: {_code(name, value)}" for name, value in run.machine.items()]
    lines += [f"- took: {run.seconds / 60:.1f} minutes", ""]
    lines += ["| what | figure | target | verdict | made of |", "|---|---|---|---|---|"]
    for row in run.rows:
        target = "" if row.target is None else f"{row.target}"
        detail = row.detail + (f" **void: {row.void}**" if row.void else "")
        figure = f"{row.value:.2f} {row.unit}"
        lines.append(f"| {row.what} | {figure} | {target} | {row.verdict} | {detail.replace('|', '/')} |")
    return "\n".join(lines)


def write(run: Run, path: Path = RESULTS) -> None:
    """Put the table into the results file, in place of that of the same build; the rest of the file stays."""
    begin, end = _BEGIN.format(run.machine["build"]), _END.format(run.machine["build"])
    block = f"{begin}\n\n{table(run)}\n\n{end}"
    text = path.read_text() if path.exists() else "# Results\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n"
    path.write_text(pattern.sub(lambda _: block, text, count=1))


def _code(name: str, value: str) -> str:
    return f"`{value}`" if name in ("command", "commit") else value
