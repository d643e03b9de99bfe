"""``python -m bench``: measure, print, keep the raw data."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bench import (
    calibrate,
    discovering,
    hotspots,
    machine,
    observing,
    peer_litellm,
    plan,
    report,
    resident,
    streaming,
    throughput,
)
from bench.plan import Plan
from bench.processes import BenchError
from bench.rows import Result, Row, show

_SCENARIOS: Final[Mapping[str, Callable[[Plan], Result]]] = MappingProxyType(
    {
        "throughput": throughput.run,
        "streaming": streaming.fast,
        "held": streaming.held,
        "start": resident.start,
        "flat": resident.flat,
        "discovery": discovering.run,
        "observing": observing.run,
    }
)


def main() -> int:
    """Do what the arguments say.

    Returns:
        0; 1 when a target is missed, a figure is void or, in a quick run, a reply was bad; 2 when the
        benchmark cannot run.
    """
    arguments = _arguments()
    if arguments.command == "table":
        return _table(arguments.raw)
    if (sentence := machine.missing()) is not None:
        print(sentence, file=sys.stderr)
        return 2
    size = plan.make(machine.raise_open_files(), quick=arguments.quick)
    try:
        if arguments.command == "profile":
            hotspots.run(size)
            return 0
        return _measure(
            size, arguments.only or tuple(_SCENARIOS), write=arguments.write, peer=arguments.litellm
        )
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "command", nargs="?", default="run", choices=("run", "profile", "table"), help="run is the default"
    )
    parser.add_argument("raw", nargs="?", type=Path, help="for table: raw data other than the newest")
    parser.add_argument("--quick", action="store_true", help="only show that it works: figures mean nothing")
    parser.add_argument("--only", action="append", choices=tuple(_SCENARIOS), help="may be repeated")
    parser.add_argument("--write", action="store_true", help="put the table of a full run into RESULTS.md")
    parser.add_argument(
        "--litellm", action="store_true", help="install LiteLLM under bench/.peers and compare"
    )
    arguments = parser.parse_args()
    if arguments.write and (arguments.quick or arguments.only):
        parser.error("--write takes a full run: no --quick, no --only")
    return arguments


def _measure(size: Plan, names: Sequence[str], *, write: bool, peer: bool) -> int:
    facts, begun = {**machine.facts(), "speed": calibrate.neighbour()}, time.perf_counter()
    scenarios = {name: _SCENARIOS[name] for name in names}
    if peer:
        scenarios["litellm"] = peer_litellm.run
    rows: list[Row] = []
    raw: dict[str, Any] = {}
    bad = 0
    for name, scenario in scenarios.items():
        size.say(f"{name} ...")
        found = scenario(size)
        rows += found.rows
        raw[name] = found.raw
        bad += found.bad
    run = report.Run(facts, size.quick, time.perf_counter() - begun, tuple(rows), raw)
    print("\n".join(f"{name}: {value}" for name, value in facts.items()) + "\n")
    print("\n".join(show(row) for row in rows))
    print(f"\nRaw data: {report.save(run).relative_to(machine.ROOT)}")
    if size.quick:
        print("A quick run shows that the suite works. Its figures mean nothing.")
        return 1 if bad else 0
    if write:
        report.write(run)
    return 1 if any(row.verdict in ("missed", "void") for row in rows) else 0


def _table(path: Path | None) -> int:
    try:
        run = report.load(path)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    if run.quick:
        print("the figures of a quick run mean nothing: they are not written", file=sys.stderr)
        return 2
    report.write(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
