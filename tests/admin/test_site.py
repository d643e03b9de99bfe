from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.client import RawReply
from tests.support.gateway import RunningGateway, Serve

import nexus.admin
from nexus.admin.site import prefers_html

UI = Path(nexus.admin.__file__).parent / "ui"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def assert_fenced(reply: RawReply) -> None:
    assert reply.header("content-security-policy") == POLICY
    assert reply.header("x-content-type-options") == "nosniff"
    assert reply.header("referrer-policy") == "no-referrer"


async def linked(gateway: RunningGateway) -> set[str]:
    page = await gateway.get("/", Accept=BROWSER)
    return set(re.findall(r'(?:src|href)="(/[^"#]+)"', page.body.decode()))


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML;Q=0.5, text/plain;q=0.4", True),
        ("", False),
        ("*/*", False),
        ("text/plain, text/html;q=0.9", False),
        ("application/json", False),
        ("text/html;q=0", False),
        ("text/html;q=much", False),
    ],
)
def test_html_is_for_those_who_ask_for_it(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


async def test_a_browser_gets_the_page_and_a_program_the_line(start: Serve) -> None:
    gateway = await start("")
    page = await gateway.get("/", Accept=BROWSER)
    assert page.status == 200
    assert page.header("content-type") == "text/html; charset=utf-8"
    assert page.header("vary") == "Accept"
    assert_fenced(page)
    for path, accept in (("/", "*/*"), ("/", ""), ("/v1", BROWSER)):
        text = await gateway.get(path, Accept=accept)
        assert text.header("content-type") == "text/plain; charset=utf-8"
        assert "base URL" in text.body.decode()


async def test_head_is_answered_as_get_is_without_its_body(start: Serve) -> None:
    gateway = await start("")
    async with gateway.client() as client:
        client.send("HEAD", "/", headers={"Accept": BROWSER})
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200")
    assert "content-type: text/html" in head
    assert "content-security-policy: default-src 'none'" in head


async def test_all_that_the_page_loads_is_there_with_its_type(start: Serve) -> None:
    gateway = await start("")
    paths = await linked(gateway)
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert {path.rpartition(".")[2] for path in paths} == set(kinds)
    for path in paths:
        reply = await gateway.get(path)
        assert reply.status == 200, path
        assert (reply.header("content-type") or "").startswith(kinds[path.rpartition(".")[2]])
        assert_fenced(reply)


async def test_nothing_in_the_page_needs_an_exception_of_the_policy(start: Serve) -> None:
    gateway = await start("")
    page = (await gateway.get("/", Accept=BROWSER)).body.decode()
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)|https?://", page) == []


async def test_a_file_that_the_browser_has_is_not_sent_again(start: Serve) -> None:
    gateway = await start("")
    path = min(await linked(gateway))
    first = await gateway.get(path)
    etag = first.header("etag") or ""
    again = await gateway.get(path, **{"If-None-Match": f'"other", W/{etag}'})
    assert (again.status, again.body, again.header("etag")) == (304, b"", etag)
    changed = await gateway.get(path, **{"If-None-Match": '"other"'})
    assert changed.status == 200


def test_no_script_makes_markup_of_text_or_needs_an_exception_of_the_policy() -> None:
    risky = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|unsafeHTML|"
        r"\beval\(|new Function|\sstyle=|\son\w+=\""
    )
    scripts = sorted((UI / "js").rglob("*.js"))
    assert len(scripts) > 20
    assert [path.name for path in scripts if risky.search(path.read_text(encoding="utf-8"))] == []


def test_scripts_and_style_sheets_keep_to_the_size_of_one_idea() -> None:
    files = [*(UI / "js").rglob("*.js"), *(UI / "css").glob("*.css")]
    assert [path.name for path in files if len(path.read_text(encoding="utf-8").splitlines()) >= 300] == []


@pytest.mark.parametrize(
    "path",
    [
        "/ui/none.js",
        "/ui/",
        "/ui/js",
        "/ui/index.html",
        "/ui/../site.py",
        "/ui/%2e%2e/site.py",
        "/ui/..%2fsite.py",
        "/ui//etc/passwd",
        "/ui/js/../index.html",
    ],
)
async def test_nothing_else_has_a_path(start: Serve, path: str) -> None:
    gateway = await start("")
    reply = await gateway.get(path)
    assert (reply.status, reply.error["type"]) == (404, "invalid_request_error")


async def test_files_are_read_only(start: Serve) -> None:
    gateway = await start("")
    path = min(await linked(gateway))
    reply = await gateway.request("POST", path, b"{}")
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD, OPTIONS")


async def test_a_host_of_somebody_else_gets_nothing(start: Serve) -> None:
    gateway = await start("")
    for path in ("/", *await linked(gateway)):
        reply = await gateway.get(path, Accept=BROWSER, Host="evil.example")
        assert reply.status == 421


async def test_without_the_administration_there_is_no_dashboard(start: Serve) -> None:
    gateway = await start("[admin]\nenabled = false\n")
    page = await gateway.get("/", Accept=BROWSER)
    assert page.header("content-type") == "text/plain; charset=utf-8"
    reply = await gateway.get("/ui/js/main.js")
    assert reply.status == 404
    assert "[admin] enabled" in reply.error["message"]
