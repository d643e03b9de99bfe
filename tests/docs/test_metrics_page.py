"""Every metric of the code is on the page, with its kind and labels, and nothing else is."""

from __future__ import annotations

import re

from prometheus_client.core import Metric
from tests.docs.pages import quoted, rows, section

from nexus.observe.genai import INSTRUMENTS
from nexus.observe.metrics import RequestMetrics
from nexus.observe.served import KINDS
from nexus.observe.surroundings import Sources

PAGE = "docs/metrics.md"
_ENDS = {"counter": "_total", "info": "_info"}
# The library leaves its figures of the process out where there is no /proc.
_LINUX = re.compile("process_")


def _labels(family: Metric) -> frozenset[str]:
    if family.type == "info":
        return frozenset(label for sample in family.samples for label in sample.labels)
    labels: tuple[str, ...] = family._labelnames  # type: ignore[attr-defined]  # of every family
    return frozenset(labels)


def _families() -> dict[str, tuple[str, frozenset[str]]]:
    return {
        family.name + _ENDS.get(family.type, ""): (family.type, _labels(family))
        for family in RequestMetrics(Sources(), genai=True).collect()
    }


def _told(heading: str) -> dict[str, tuple[str, frozenset[str]]]:
    return {
        cells[0].strip("`"): (cells[1], frozenset(quoted(cells[2])))
        for cells in rows(section(PAGE, heading))
        if cells[0].startswith("`")
    }


def test_every_metric_is_on_the_page_and_nothing_else() -> None:
    told = {**_told("## Every metric"), **_told("## OpenTelemetry's names")}
    families = _families()
    assert {name: row for name, row in told.items() if not _LINUX.match(name) or name in families} == families


def test_the_conventions_metrics_are_in_a_table_of_their_own() -> None:
    assert set(_told("## OpenTelemetry's names")) == {instrument.name for instrument in INSTRUMENTS}


def test_every_kind_of_token_is_explained() -> None:
    assert set(KINDS) <= quoted(section(PAGE, "## Tokens"))
