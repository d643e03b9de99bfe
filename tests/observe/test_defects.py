from __future__ import annotations

import pytest

from nexus.observe.defects import Defects
from nexus.observe.events import EventLog


def stumble(text: str) -> Exception:
    try:
        return RuntimeError(dict[str, str]()[text])
    except KeyError as error:
        return error


def test_one_that_repeats_is_written_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nexus.test")
    defects = Defects(EventLog("test"), "it failed")
    for number in range(3):
        defects.happened(stumble(str(number)), backend="a")
    defects.happened(ValueError("another"), backend="a")
    defects.over(backend="a")
    defects.over(backend="a")
    defects.happened(stumble("again"))
    assert [(record.levelname, record.message, bool(record.exc_info)) for record in caplog.records] == [
        ("ERROR", "it failed", True),
        ("INFO", "it failed: that was the last time", False),
        ("ERROR", "it failed", True),
        ("ERROR", "it failed", True),
    ]
    assert caplog.records[1].nexus_fields["times"] == 3  # type: ignore[attr-defined]
