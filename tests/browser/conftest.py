"""A real Chromium, and the dashboard in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, async_playwright
from tests.browser.dashboard import Dashboard, open_dashboard
from tests.support.fixtures import fleet, start

__all__ = ["fleet", "start"]

Open = Callable[..., Awaitable[Dashboard]]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing that Chromium does on its own account may look like something that the page does.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is."""
    found = os.environ.get("NEXUS_TEST_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(
            "no Chromium: install it (Debian, Ubuntu: sudo apt-get install chromium) and run "
            "make test ARGS='-m browser', or name another one in NEXUS_TEST_BROWSER"
        )
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield running
        await running.close()


@pytest.fixture
async def dashboard(browser: Browser) -> AsyncIterator[Open]:
    """Open dashboards; at the end of a test none may have had a problem that was not expected."""
    async with AsyncExitStack() as stack:

        async def begin(url: str, place: str = "", **options: object) -> Dashboard:
            return await stack.enter_async_context(open_dashboard(browser, url, place, **options))

        yield begin
