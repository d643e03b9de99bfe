"""What the dashboard and the alert rules ask Prometheus."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.docs.pages import ROOT

RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/nexus.json"

_COMPARED = re.compile(r"(==|<|>) ([\d.]+)$")
# What Grafana fills in: everything is chosen, and a window with several scrapes in it.
_VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$model": ".*", "$backend": ".*"}


def alerts() -> dict[str, str]:
    """Expressions by the name of their alert; each stands on one line."""
    found = re.findall(r"- alert: (\w+)\n +expr: >-\n +(.+)\n", RULES.read_text(encoding="utf-8"))
    return dict(found)


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return content


def panels() -> list[tuple[str, str]]:
    """Title and expression of everything that is drawn."""
    return [
        (panel["title"], target["expr"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]


def filled(expression: str) -> str:
    """A panel's expression as Grafana sends it."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def compared(expression: str) -> str:
    """An alert's expression that says 0 or 1 instead of nothing or something: what it looks at must exist."""
    assert _COMPARED.search(expression), f"expected one comparison at the end: {expression}"
    return _COMPARED.sub(r"\1 bool \2", expression)
