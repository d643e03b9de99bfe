from __future__ import annotations

import re

import pytest
from tests.docs.pages import PAGES, ROOT, prose, quoted, read

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"[a-z]+://|mailto:")
_PATH = re.compile(r"(?:src|tests|bench|docs)(?:/[\w.-]+)*/?")


def _slugs(page: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    dead = []
    for link in _LINK.findall(prose(page)):
        if _OUTSIDE.match(link):
            continue
        target, _, anchor = link.partition("#")
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        name = path.relative_to(ROOT).as_posix()
        if not path.exists() or (anchor and anchor not in _slugs(name)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES)
def test_every_named_path_exists(page: str) -> None:
    named = {text for text in quoted(prose(page)) if "/" in text and _PATH.fullmatch(text)}
    assert [text for text in sorted(named - _examples(page)) if not (ROOT / text).exists()] == []


def _examples(page: str) -> set[str]:
    """Files that the reader of the guide is about to write."""
    written = {"src/nexus/backends/koboldcpp.py", "src/nexus/routing/policies/on_premises.py"}
    return written if page == "docs/adding-a-backend.md" else set()


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_page_is_reached_from_the_readme(page: str) -> None:
    assert f"]({page})" in read("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_one_machine_or_of_a_tracker_is_on_a_page(page: str) -> None:
    text = read(page)
    assert re.findall(r"(?<![\w.~])/(?:home|root|work|tmp|Users)/\S+", text) == []
    assert re.findall(r"(?<![\w&/])#\d+\b", text) == []
    assert "index-url" not in text
