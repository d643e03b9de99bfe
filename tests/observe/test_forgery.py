"""Whatever clients and backends send: one line stays one line, and moves no cursor."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexus.domain import Attempt, FailureKind, Outcome
from nexus.observe import logs
from nexus.observe.events import EventLog
from nexus.observe.mask import Mask
from nexus.observe.request_log import RequestLog
from nexus.observe.writer import LineWriter

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
MOVES = "\x00\x07\x08\x1b\x7f\x9b\u200b\u200e\u202e\u2066\ufeff\ud800\udfff\U000e0041"
TEXTS = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from(BREAKS + MOVES)))
FORGED = "m\n2026-01-01T00:00:00.000Z [info] 200 chat\u2028\x1b[2J\x85\u202e"


class Lines(LineWriter):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.lines: list[str] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line.decode())


@contextmanager
def logger(style: str, mask: Mask | None = None) -> Iterator[Lines]:
    lines = Lines()
    loggers = [logging.getLogger(name) for name in ("", "nexus")]
    before = [(each.handlers[:], each.propagate, each.level) for each in loggers]
    logs.configure(lines, "debug", style, {}, mask)
    try:
        yield lines
    finally:
        for each, (handlers, propagate, level) in zip(loggers, before, strict=True):
            each.handlers[:] = handlers
            each.propagate = propagate
            each.setLevel(level)


def is_one_line(text: str) -> bool:
    return text.endswith("\n") and text[:-1].isprintable() and len(text.splitlines()) == 1


@pytest.mark.parametrize("style", ["json", "pretty"])
@given(model=TEXTS, message=TEXTS, name=TEXTS)
@example(model=FORGED, message=FORGED, name=FORGED)
def test_a_request_is_one_line(style: str, model: str, message: str, name: str) -> None:
    lines = Lines()
    log = RequestLog(lines, style)
    log._infos = log._warnings = True
    failed = Attempt(name, "id", "m", FailureKind.SERVER_ERROR, 500, message)
    served = Attempt(name, "id", "m")
    for attempts in ((served,), (failed,), (failed, served)):
        log.observe(Outcome("r", "chat", model, model, name, "vllm", 200, attempts=attempts))
    assert len(lines.lines) == 3
    assert all(map(is_one_line, lines.lines))
    if style == "json":
        line = json.loads(lines.lines[0])
        sayable = model.encode("utf-8", "replace").decode()
        assert (line["model"], line["status"]) == (sayable, 200)


@pytest.mark.parametrize("style", ["json", "pretty"])
@given(event=TEXTS, value=st.recursive(TEXTS, st.lists), key=TEXTS)
@example(event=FORGED, value=[FORGED], key=FORGED)
def test_an_event_is_one_line(style: str, event: str, value: Any, key: str) -> None:  # noqa: ANN401 - any field
    with logger(style) as lines:
        EventLog("test").info(event, **{key or "k": value})
        logging.getLogger("nexus.gateway").debug("%s", event)
        logging.getLogger("another.package").warning("%s", event)
    assert len(lines.lines) == 3
    assert all(map(is_one_line, lines.lines))


@given(TEXTS)
@example(FORGED)
def test_only_a_tracebacks_lines_follow_and_they_are_marked(text: str) -> None:
    for style in ("json", "pretty"):
        with logger(style) as lines:
            EventLog("test").error("failed", raised(text))
        first, *others = lines.lines[0].removesuffix("\n").split("\n")
        assert first.isprintable()
        assert all(line.isprintable() and line.startswith("  | ") for line in others)
        assert bool(others) is (style == "pretty")


def raised(text: str) -> Exception:
    try:
        dict[str, str]()[text]
    except KeyError:
        error = RuntimeError(text)
        error.__context__ = sys.exception()
        return error
    raise AssertionError


class Unsayable:
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("style", ["json", "pretty"])
@pytest.mark.parametrize(
    "say",
    [
        lambda: EventLog("test").info("event", field=Unsayable()),
        lambda: logging.getLogger("nexus.test").info("%d of %d", 1),  # noqa: PLE1206 - the mistake
    ],
)
def test_a_line_that_cannot_be_made_fails_nobody(style: str, say: Callable[[], None]) -> None:
    with logger(style) as lines:
        say()
    (line,) = lines.lines
    assert "a log line could not be written" in line
    assert "nexus.test" in line


def test_what_python_would_write_to_stderr_is_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import threading  # noqa: PLC0415 - beside what it is for
    import warnings  # noqa: PLC0415

    class Fails:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    def fail() -> None:
        raise ValueError("in a thread")

    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with logger("json") as lines, warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.catch_strays()
        try:
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
            Fails()
            warnings.warn("a warning", stacklevel=1)
        finally:
            logging.captureWarnings(capture=False)
    text = "".join(lines.lines)
    assert all(said in text for said in ("in a thread", "in a finalizer", "a warning"))
    assert capfd.readouterr().err == ""
