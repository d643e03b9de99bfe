"""The dashboard in a browser, as a test uses it and as it must behave whatever the test does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, expect
from tests.support.gateway import RunningGateway

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
# A machine that is busy with other tests is slow; a deadline only catches hanging.
WAIT_MS = 10_000
SEVERE = frozenset({"serious", "critical"})

expect.set_options(timeout=WAIT_MS)


class Dashboard:
    """One page.

    Attributes:
        page: Playwright's.
        problems: what the console complained of, and requests to anybody but Nexus.
        expected: beginnings of complaints that the test provokes.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"raised: {error}"))
        page.on("request", self._asked)

    async def go(self, place: str) -> None:
        """Open a view by its link in the hash."""
        await self.page.goto(f"{self.url}/{place}")

    def card(self, backend: str) -> Locator:
        """A backend's card."""
        return self.page.get_by_role("article", name=f"Backend {backend}", exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def heading(self, name: str) -> Locator:
        return self.page.get_by_role("heading", name=name, exact=True)

    async def severe_findings(self) -> list[str]:
        """What axe-core calls serious or critical."""
        results = await Axe().run(self.page)
        found = results.response["violations"]
        return [
            f"{one['id']}: {node['html']}"
            for one in found
            for node in one["nodes"]
            if one["impact"] in SEVERE
        ]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme != "data" and target.netloc != urlsplit(self.url).netloc:
            self.problems.append(f"asked {request.url}")


@asynccontextmanager
async def open_dashboard(
    browser: Browser,
    url: str,
    place: str = "",
    **options: Any,  # noqa: ANN401  Playwright's
) -> AsyncIterator[Dashboard]:
    """Open the dashboard in a context of its own, with no cookie and nothing stored.

    Args:
        browser: a running one.
        url: Nexus, without a path.
        place: the hash of a view.
        options: of Playwright's context, such as ``color_scheme``.
    """
    context = await browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce", **options})
    dashboard = Dashboard(await context.new_page(), url)
    await dashboard.go(place)
    yield dashboard
    unexpected = [text for text in dashboard.problems if not text.startswith(dashboard.expected or ("\0",))]
    await context.close()
    if unexpected:
        raise AssertionError(f"the page had problems: {unexpected}")


def base(gateway: RunningGateway) -> str:
    """Where a gateway's pages are."""
    return f"http://127.0.0.1:{gateway.nexus.port}"
