"""Every path, header and code of the code is on the page."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.docs.pages import ROOT, quoted, read, rows, section

from nexus import errors
from nexus.domain import BackendStatus, Capabilities, FailureKind, RouteReason
from nexus.gateway.failures import EVENT_TEXT
from nexus.gateway.paths import PAGES
from nexus.http.limits import ServerLimits, UpstreamLimits
from nexus.protocol import headers
from nexus.protocol.surfaces import SURFACES

PAGE = "docs/http-api.md"
_POLICIES = ROOT / "src/nexus/routing/policies"
_LATER = {EVENT_TEXT[FailureKind.CANCELLED][0]}


def _errors(base: type[errors.RequestError]) -> Iterator[type[errors.RequestError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _errors(kind)


def test_every_path_is_on_the_page() -> None:
    told = {cells[0].strip("`").removeprefix("/v1") for cells in rows(section(PAGE, "## Paths"))}
    expected = {surface.path for surface in SURFACES.values()} | {path or "/" for path in PAGES}
    assert expected <= told
    assert told - expected == {"path", "/models/{id}"}


def test_every_error_of_ours_is_on_the_page() -> None:
    told = {(cells[0], cells[1].strip("`")) for cells in rows(section(PAGE, "## Errors"))}
    kinds = [kind for kind in _errors(errors.RequestError) if kind is not errors.ServerFault]
    missing = [kind for kind in kinds if (str(kind.status), str(kind.default_code)) not in told]
    assert missing == []


def test_every_header_of_ours_is_on_the_page() -> None:
    names = [value for name, value in vars(headers).items() if name.startswith("X_")]
    assert {name.decode() for name in names} <= quoted(read(PAGE))
    assert {name.decode() for name in headers.FORWARDED} <= {text.lower() for text in quoted(read(PAGE))}


def test_every_route_reason_event_and_rule_is_on_the_page() -> None:
    told = quoted(read(PAGE))
    assert {reason.value for reason in RouteReason} <= told
    assert {code for code, _ in EVENT_TEXT.values()} - _LATER <= told
    source = "".join(path.read_text(encoding="utf-8") for path in _POLICIES.glob("*.py"))
    assert set(re.findall(r'(?:final|transient)\(\s*"(\w+)"', source)) <= told
    assert {status.value for status in BackendStatus if status is not BackendStatus.HEALTHY} <= told
    assert {need for need in Capabilities.__struct_fields__ if need != "chat"} <= told


def test_the_limits_are_those_in_force() -> None:
    text = section(PAGE, "## Limits")
    server, upstream = ServerLimits(), UpstreamLimits()
    for told in (
        f"`max_header_kb` ({server.head_bytes // 1024}), {server.fields} fields",
        f"request line | {server.request_line // 1024} KB",
        f"head complete within | {server.head_seconds:g} s",
        f"body progress within | {server.body_seconds:g} s",
        f"idle connection | {server.keep_alive_seconds:g} s",
        f"`write_seconds` ({server.write_seconds:g})",
        f"slow client | {upstream.stream_buffer // 1024} KB",
    ):
        assert told in text
