from __future__ import annotations

import re

from tests.docs.pages import ROOT, rows, section

PAGE = "docs/tracing.md"


def test_every_attribute_is_named_and_no_other() -> None:
    table = rows(section(PAGE, "## Attributes"))
    told = {name for cells in table for name in re.findall(r"`([\w.]+)`", cells[0])}
    source = (ROOT / "src/nexus/observe/otel.py").read_text(encoding="utf-8")
    assert told == set(re.findall(r'"((?:gen_ai|http|error|server|nexus)\.[\w.]+)":', source))
