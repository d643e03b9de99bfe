"""What can be said of the dashboard and the rules without Prometheus."""

from __future__ import annotations

import re

from tests.deploy.expressions import RULES, alerts, compared, dashboard, filled, panels
from tests.docs.pages import quoted, rows, section

from nexus import errors
from nexus.observe.metrics import RequestMetrics
from nexus.observe.surroundings import Sources

_NAME = re.compile(r"\b(?:nexus|process|python)_\w+")
_PAGE = "docs/metrics.md"


def _known() -> set[str]:
    ends = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + end
        for family in RequestMetrics(Sources()).collect()
        for end in ends.get(family.type, ("",))
    }


def test_only_metrics_that_exist_are_asked_for() -> None:
    asked = [*alerts().values(), *(expression for _, expression in panels())]
    asked += [one["definition"] for one in dashboard()["templating"]["list"] if "definition" in one]
    found = {name for expression in asked for name in _NAME.findall(expression)}
    assert {name for name in found if not name.startswith("process_")} <= _known()


def test_every_metric_of_requests_is_drawn() -> None:
    drawn = {name for _, expression in panels() for name in _NAME.findall(expression)}
    bases = {re.sub(r"_(?:total|info|bucket)$", "", name) for name in drawn}
    known = {re.sub(r"_(?:total|info|bucket|sum|count)$", "", name) for name in _known()}
    assert {name for name in known if name.startswith("nexus_")} <= bases


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert taken.isdisjoint(cells), panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))
    assert all(filled(expression) for _, expression in panels())


def test_every_alert_can_be_evaluated_and_says_what_to_do() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert len(alerts()) == text.count("- alert: ")
    assert text.count("summary: ") == text.count("description: ") == text.count("severity: ") == len(alerts())
    assert all(compared(expression) for expression in alerts().values())


def test_every_alert_is_on_the_page() -> None:
    told = {cells[0].strip("`") for cells in rows(section(_PAGE, "## Alerts")) if cells[0].startswith("`")}
    assert told == set(alerts())
    assert {"deploy/prometheus/alerts.yml"} <= quoted(section(_PAGE, "## Alerts"))


def test_what_clients_do_wrong_is_no_alert() -> None:
    excluded = re.findall(r"[a-z_]+", alerts()["NexusErrors"].partition('error_type!~"')[2].partition('"')[0])
    faults = {
        str(kind.default_code)
        for kind in errors.RequestError.__subclasses__()
        if not issubclass(kind, errors.ServerFault)
    }
    # A backend that turns requests away for their number is its operator's matter.
    assert faults - {"rate_limit_exceeded"} <= set(excluded)
    assert not {"internal_error", "bad_gateway", "service_unavailable"} & set(excluded)
