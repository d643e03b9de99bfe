"""How long and how often everything is measured."""

from __future__ import annotations

import sys
from typing import Final

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """The size of a run.

    Attributes:
        quick: shows that the suite works; its figures mean nothing.
        files: open files that a process may have.
        rounds, warmups: runs of each place that count, and runs before them that do not.
        load_seconds, latency_seconds: of one run at 64 connections and at one.
        stream_rounds, streams, stream_seconds: relaying at 20 chunks a second.
        held_streams, held_seconds: relaying at one chunk a second.
        early_requests, late_requests: where memory is compared.
        starts: cold starts.
        announced, announced_seconds: services that are announced, and how long is measured.
    """

    quick: bool
    files: int
    rounds: int = 5
    warmups: int = 1
    load_seconds: int = 6
    latency_seconds: int = 3
    stream_rounds: int = 3
    streams: int = 1000
    stream_seconds: float = 10.0
    held_streams: int = 5000
    held_seconds: float = 20.0
    early_requests: int = 50_000
    late_requests: int = 250_000
    starts: int = 5
    announced: int = 200
    announced_seconds: float = 60.0

    def say(self, line: str) -> None:
        """Tell somebody who waits."""
        print(line, file=sys.stderr, flush=True)


_QUICK: Final = {
    "rounds": 1,
    "warmups": 0,
    "load_seconds": 1,
    "latency_seconds": 1,
    "stream_rounds": 1,
    "streams": 50,
    "stream_seconds": 1.0,
    "held_streams": 100,
    "held_seconds": 2.0,
    "early_requests": 1000,
    "late_requests": 5000,
    "starts": 2,
    "announced": 10,
    "announced_seconds": 2.0,
}


def make(files: int, *, quick: bool) -> Plan:
    """Return the full plan, or the one that only shows that the suite works."""
    return msgspec.structs.replace(Plan(quick=quick, files=files), **(_QUICK if quick else {}))
