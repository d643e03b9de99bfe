"""Every route, field and command of the administration is on its page."""

from __future__ import annotations

import re
from typing import cast
from unittest.mock import Mock

from click import Option
from tests.docs.pages import quoted, read, rows, section
from textual.binding import Binding

from nexus.admin.front import BODY_BYTES
from nexus.admin.parts import AdminParts
from nexus.admin.routes import make_app
from nexus.admin.session_page import PATH as SESSION
from nexus.admin.shown import Running, Summary
from nexus.cli.backends import backends
from nexus.cli.explain import explain
from nexus.cli.logs import logs
from nexus.cli.top.app import Top
from nexus.config.manual import CHANGEABLE, FIELDS
from nexus.domain import Consideration, DiscoverySource
from nexus.services.kept_backends import FILE

PAGE = "docs/administration.md"


def test_every_route_is_on_the_page() -> None:
    headings = ("## `/admin/backends`", "## `/admin/requests`", "## `/admin/events`", "## `/admin/session`")
    told = {
        tuple(cells[0].strip("`").split("?")[0].split(" "))
        for heading in headings
        for cells in rows(section(PAGE, heading))
    }
    app = make_app(cast("AdminParts", Mock()))
    routes = {
        (method, re.sub(r"\{[a-z_]+:path\}", "{id}", route.path.rstrip("/")))  # type: ignore[attr-defined]  # all are Routes
        for route in app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]  # all are Routes
    }
    assert routes <= told
    assert {(method, SESSION) for method in ("GET", "POST", "DELETE")} <= told


def test_every_field_of_a_request_is_on_the_page() -> None:
    told = quoted(section(PAGE, "## `/admin/requests`"))
    shown = {*Summary.__struct_fields__, *Running.__struct_fields__, *Consideration.__struct_fields__}
    assert shown - told == set()


def test_every_topic_is_on_the_page() -> None:
    told = {cells[0].strip("`") for cells in rows(section(PAGE, "## `/admin/events`"))}
    assert {"state", "models", "requests", "traffic"} <= told


def test_every_field_and_source_is_on_the_page() -> None:
    told = quoted(read(PAGE))
    assert {*FIELDS, *CHANGEABLE, "drain", "enabled", "note", "leaving", "check", FILE} <= told
    assert {source.value for source in DiscoverySource} <= told
    assert f"at most {BODY_BYTES // 1024} KB" in read(PAGE)


def test_every_command_is_on_the_page() -> None:
    told = " ".join(cells[0] for cells in rows(section(PAGE, "## Commands")))
    assert [name for name in backends.commands if f"`nexus backends {name}" not in told] == []
    assert [name for name in ("explain", "logs", "top") if f"`nexus {name}" not in told] == []


def test_every_key_of_top_is_on_the_page() -> None:
    told = quoted(section(PAGE, "## Watch it live"))
    bindings = [binding for binding in Top.BINDINGS if isinstance(binding, Binding)]
    keys = {binding.key_display or binding.key for binding in bindings} - {"escape"}
    assert keys - told == set()


def test_every_option_of_explain_and_logs_is_on_the_page() -> None:
    told = read(PAGE)
    for heading, command in (("## Why did it go there?", explain), ("## Follow the requests", logs)):
        options = {option.opts[0] for option in command.params if isinstance(option, Option)}
        assert [name for name in options if name not in told] == [], heading
