"""What the page does when Nexus goes and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.support.process import nexus_process

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

# What Chromium says of connections that are refused or break off.
BROKEN = ("error: Failed to load resource: net::ERR_",)


async def test_the_page_reconnects_by_itself_when_nexus_is_back(tmp_path: Path, dashboard: Open) -> None:
    with nexus_process(tmp_path) as first:
        view = await dashboard(first.url, "#/requests")
        view.expected = BROKEN
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
        port = first.port
    banner = view.page.locator("[data-banner=lost]")
    await expect(banner).to_contain_text("No connection to Nexus since")
    await expect(view.page).to_have_title("(no connection) Requests · Nexus")
    await expect(view.page.locator("#announcer")).to_contain_text("The connection to Nexus is lost")
    with nexus_process(tmp_path, "-p", str(port)):
        await expect(banner).to_have_count(0)
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(view.page.locator("#announcer")).to_contain_text("The connection to Nexus is back")
        await expect(view.page).to_have_title("Requests · Nexus")


async def test_somebody_impatient_may_try_at_once(tmp_path: Path, dashboard: Open) -> None:
    with nexus_process(tmp_path) as first:
        view = await dashboard(first.url)
        view.expected = BROKEN
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
        port = first.port
    await expect(view.button("Try now")).to_be_visible()
    with nexus_process(tmp_path, "-p", str(port)):
        if await view.button("Try now").is_visible():
            await view.button("Try now").click()
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()


async def test_a_session_that_ended_with_nexus_leads_to_the_login(tmp_path: Path, dashboard: Open) -> None:
    toml, token = '[admin]\ntoken_env = "GATEWAY_ADMIN_TOKEN"\n', "correct-horse-battery-staple"
    with nexus_process(tmp_path, toml=toml, GATEWAY_ADMIN_TOKEN=token) as first:
        view = await dashboard(first.url)
        view.expected = (*BROKEN, "error: Failed to load resource: the server responded with a status of 401")
        await view.page.get_by_label("Token").fill(token)
        await view.button("Log in").click()
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
        port = first.port
    with nexus_process(tmp_path, "-p", str(port), toml=toml, GATEWAY_ADMIN_TOKEN=token):
        await expect(view.heading("Log in")).to_be_visible()
        await view.page.get_by_label("Token").fill(token)
        await view.button("Log in").click()
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
