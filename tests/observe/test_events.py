from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nexus.observe import logs
from nexus.observe.events import EventLog
from nexus.observe.writer import LineWriter

Written = Callable[[], str]


@contextmanager
def logging_to(path: Path, style: str, level: str = "info", **components: str) -> Iterator[Written]:
    """Nexus's logging as ``serve`` sets it up, and how to read what was written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    writer = LineWriter(descriptor)
    loggers = [logging.getLogger(name) for name in ("", "nexus", *(f"nexus.{c}" for c in components))]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    logs.configure(writer, level, style, components)

    def written() -> str:
        writer.close()
        return path.read_text()

    try:
        yield written
    finally:
        os.close(descriptor)
        for logger, (handlers, propagate, old) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.propagate = propagate
            logger.setLevel(old)


def test_an_event_is_one_json_object(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log", "json") as written:
        EventLog("health").warning("backend is unhealthy", backend="gpu", reason="a\nb", models=3, level="no")
        (line,) = written().splitlines()
    fields = json.loads(line)
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {
        "backend": "gpu",
        "reason": "a\nb",
        "models": 3,
        "level": "warning",
        "logger": "nexus.health",
        "event": "backend is unhealthy",
    }


def test_an_event_for_people_cannot_be_forged(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log", "pretty") as written:
        EventLog("health").info(
            "backend is healthy", backend="gpu", reason="all good\n[error] \x1b[2J", was=""
        )
        (line,) = written().splitlines()
    assert line.endswith(
        r"""[info] backend is healthy backend=gpu reason='all good\n[error] \x1b[2J' was=''"""
    )


def test_a_list_is_its_values_in_either_style(tmp_path: Path) -> None:
    for style, expected in (
        ("pretty", "changes='a: 1; b: 2' news=''"),
        ("json", '"changes":["a: 1","b: 2"]'),
    ):
        with logging_to(tmp_path / style, style) as written:
            EventLog("reload").info("configuration reloaded", changes=("a: 1", "b: 2"), news=[])
            assert expected in written()


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_the_standard_librarys_logging_takes_the_same_way(tmp_path: Path, style: str) -> None:
    with logging_to(tmp_path / "log", style) as written:
        try:
            int("broken")
        except ValueError:
            logging.getLogger("nexus.http").exception("a reply of %s failed", "ours")
        logging.getLogger("asyncio").warning("slow")
        text = written()
    assert "a reply of ours failed" in text
    assert "ValueError: invalid literal" in text
    assert "slow" in text


def test_levels_hold_for_all_and_for_one_component(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log", "json", "warning", health="info") as written:
        EventLog("server").info("unseen")
        EventLog("health").info("seen")
        assert [json.loads(line)["event"] for line in written().splitlines()] == ["seen"]
