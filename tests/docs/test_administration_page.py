"""Every route, field and command of the administration is on its page."""

from __future__ import annotations

from tests.docs.pages import quoted, read, rows, section

from nexus.admin.front import BODY_BYTES
from nexus.admin.operations import Operations
from nexus.admin.routes import make_app
from nexus.cli.backends import backends
from nexus.config.manual import CHANGEABLE, FIELDS
from nexus.domain import DiscoverySource
from nexus.services.kept_backends import FILE

PAGE = "docs/administration.md"


def test_every_route_is_on_the_page() -> None:
    told = {tuple(cells[0].strip("`").split(" ")) for cells in rows(section(PAGE, "## `/admin/backends`"))}
    app = make_app(Operations.__new__(Operations))
    routes = {
        (method, route.path.rstrip("/").replace("{reference:path}", "{id}"))  # type: ignore[attr-defined]  # all are Routes
        for route in app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]  # all are Routes
    }
    assert routes <= told


def test_every_field_and_source_is_on_the_page() -> None:
    told = quoted(read(PAGE))
    assert {*FIELDS, *CHANGEABLE, "drain", "enabled", "note", "leaving", "check", FILE} <= told
    assert {source.value for source in DiscoverySource} <= told
    assert f"at most {BODY_BYTES // 1024} KB" in read(PAGE)


def test_every_command_is_on_the_page() -> None:
    told = " ".join(cells[0] for cells in rows(section(PAGE, "## Commands")))
    assert [name for name in backends.commands if f"`nexus backends {name}" not in told] == []
