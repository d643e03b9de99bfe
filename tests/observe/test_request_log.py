"""One line for each request: its fields, its moment, its level."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Attempt, BackendType, FailureKind, Outcome, RouteReason, Usage, replace
from nexus.observe.request_log import RequestLog
from nexus.observe.writer import LineWriter

SERVED = Attempt("gpu", "gpu-id", "m", status=200, sent=True, first_byte_seconds=0.1, seconds=0.2)
FAILED = Attempt("old", "old-id", "m", FailureKind.SERVER_ERROR, 500, "out of memory", sent=True)

LEFT = Attempt("gpu", "gpu-id", "m", FailureKind.CLIENT_CLOSED, sent=True)

Log = Callable[..., list[str]]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return what is written of outcomes."""

    def written(*outcomes: Outcome, style: str = "json") -> list[str]:
        path = tmp_path / "log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        writer = LineWriter(descriptor)
        request_log = RequestLog(writer, style)
        request_log._infos = request_log._warnings = True
        for outcome in outcomes:
            request_log.observe(outcome)
        writer.close()
        os.close(descriptor)
        return path.read_text().splitlines()

    return written


def outcome(*attempts: Attempt, **fields: object) -> Outcome:
    return replace(Outcome("r-1", "chat", attempts=attempts, status=200), **fields)


def test_a_line_has_every_field_in_its_order(log: Log) -> None:
    (line,) = log(
        outcome(
            SERVED,
            model="asked",
            served_model="m",
            backend="gpu",
            backend_type=BackendType.VLLM,
            route_reason=RouteReason.CAPABILITY_MATCH,
            usage=Usage(30, 10),
            started_at=1_790_000_000.25,
            first_byte_seconds=0.123_456_7,
            seconds=1.5,
            overhead_seconds=0.000_035_2,
        )
    )
    assert list(json.loads(line).items()) == [
        ("timestamp", "2026-09-21T14:13:21.750Z"),
        ("level", "info"),
        ("logger", "nexus.request"),
        ("event", "request"),
        ("id", "r-1"),
        ("surface", "chat"),
        ("model", "asked"),
        ("served_model", "m"),
        ("backend", "gpu"),
        ("backend_type", "vllm"),
        ("status", 200),
        ("error", ""),
        ("attempts", 1),
        ("reason", "capability-match"),
        ("prompt_tokens", 30),
        ("completion_tokens", 10),
        ("estimated_tokens", None),
        ("first_byte_seconds", 0.123457),
        ("seconds", 1.5),
        ("overhead_seconds", 0.000035),
        ("streamed", False),
        ("client_closed", False),
        ("failures", []),
    ]


def test_a_request_that_nobody_served_has_a_line_too(log: Log) -> None:
    (line,) = map(json.loads, log(outcome(status=404, error="model_not_found")))
    assert (line["level"], line["attempts"], line["failures"]) == ("info", 0, [])
    assert [line[name] for name in ("reason", "prompt_tokens", "first_byte_seconds")] == [None] * 3


def test_failed_attempts_are_told_and_make_a_warning(log: Log) -> None:
    (line,) = map(json.loads, log(outcome(FAILED, SERVED)))
    assert (line["level"], line["attempts"]) == ("warning", 2)
    assert line["failures"] == [
        {"backend": "old", "cause": "server_error", "status": 500, "message": "out of memory"}
    ]
    (pretty,) = log(outcome(FAILED, SERVED), style="pretty")
    assert "[warning] 200" in pretty
    assert pretty.endswith("| old: server_error out of memory")


@pytest.mark.parametrize(
    ("ended", "level"),
    [
        (outcome(SERVED), "info"),
        (outcome(SERVED, status=500), "warning"),
        (outcome(status=503), "warning"),
        (outcome(FAILED, status=502), "warning"),
        (outcome(FAILED), "warning"),
        (outcome(LEFT, status=499, client_closed=True), "info"),
        (outcome(FAILED, LEFT, status=499, client_closed=True), "warning"),
    ],
)
def test_the_level(log: Log, ended: Outcome, level: str) -> None:
    (line,) = map(json.loads, log(ended))
    assert line["level"] == level


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=5))
def test_moments_in_any_order(walls: list[float]) -> None:
    lines: list[bytes] = []

    class Kept(LineWriter):
        def write(self, line: bytes) -> None:
            lines.append(line)

    request_log = RequestLog(Kept(-1), "json")
    request_log._infos = request_log._warnings = True
    for wall in walls:
        request_log.observe(outcome(started_at=wall))
    for wall, line in zip(walls, lines, strict=True):
        moment = datetime.fromisoformat(json.loads(line)["timestamp"])
        seconds = (moment - datetime.fromtimestamp(0, UTC)).total_seconds()
        assert wall - 0.00101 <= seconds <= wall + 0.000_001


@given(st.floats(0, 1e6))
def test_seconds_are_told_to_the_microsecond(seconds: float) -> None:
    lines: list[bytes] = []

    class Kept(LineWriter):
        def write(self, line: bytes) -> None:
            lines.append(line)

    request_log = RequestLog(Kept(-1), "json")
    request_log._infos = request_log._warnings = True
    request_log.observe(outcome(seconds=seconds, first_byte_seconds=seconds))
    line = json.loads(lines[0])
    assert line["seconds"] == line["first_byte_seconds"]
    assert abs(line["seconds"] - seconds) <= 0.000_000_51
    assert len(f"{line['seconds']!r}".partition(".")[2].partition("e")[0]) <= 6


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_a_line_that_was_written_leaves_nothing_behind(log: Log, style: str) -> None:
    served = Outcome("r-1", "chat", "m", "m", "gpu", "vllm", 200, attempts=(SERVED,))
    log(*[served] * 100, style=style)
    before = sys.getallocatedblocks()
    log(*[served] * 5000, style=style)
    assert sys.getallocatedblocks() - before < 1000
