from __future__ import annotations

import re

from tests.docs.pages import ROOT, quoted, rows, section

from nexus.observe.request_line import RequestLine
from nexus.protocol.surfaces import SURFACES

PAGE = "docs/logs.md"


def named(heading: str) -> list[str]:
    """What the first column names, in its order."""
    table = [cells[0] for cells in rows(section(PAGE, heading)) if cells[0].startswith("`")]
    return [name for cell in table for name in re.findall(r"`(\w+)`", cell)]


def test_the_line_of_a_request_has_these_fields_in_this_order() -> None:
    assert named("## The line of a request") == list(RequestLine.__struct_fields__)


def test_the_surfaces_are_those_that_are_served() -> None:
    (row,) = [cells for cells in rows(section(PAGE, "## The line of a request")) if cells[0] == "`surface`"]
    assert quoted(row[1]) == set(SURFACES)


def test_every_component_that_logs_is_named() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/nexus").rglob("*.py"))
    events = set(re.findall(r'EventLog\("([\w.]+)"\)', source))
    loggers = {name.split(".")[0] for name in re.findall(r'getLogger\("nexus\.([\w.]+)"\)', source)}
    assert set(named("## Components")) == events | loggers
