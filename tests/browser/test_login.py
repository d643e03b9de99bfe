"""Login: the token is given once, and is then in no place where a script or a log could find it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import base
from tests.support.gateway import Serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

TOKEN = "correct-horse-battery-staple"
TOML = '[admin]\ntoken_env = "GATEWAY_ADMIN_TOKEN"\n'
WRONG = "error: Failed to load resource: the server responded with a status of 401"


async def test_the_token_opens_the_dashboard_by_a_cookie_that_no_script_sees(
    start: Serve, dashboard: Open
) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    view = await dashboard(base(gateway), "#/models")
    urls: list[str] = []
    view.page.on("request", lambda request: urls.append(request.url))
    view.expected = (WRONG,)
    await expect(view.heading("Log in")).to_be_visible()
    field = view.page.get_by_label("Token")
    await expect(field).to_be_focused()
    await field.fill("wrong")
    await field.press("Enter")
    await expect(view.page.get_by_role("alert")).to_contain_text("not the administration's token")
    view.expected = ()
    view.problems.clear()
    await field.fill(TOKEN)
    await field.press("Enter")
    # The place that was asked for is still the place.
    await expect(view.heading("No model yet")).to_be_visible()
    await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
    (cookie,) = await view.page.context.cookies(f"{base(gateway)}/admin")
    assert (cookie.get("httpOnly"), cookie.get("sameSite"), cookie.get("path")) == (True, "Strict", "/admin")
    stored = await view.page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    content = await view.page.content()
    assert TOKEN not in "".join((stored, content, view.page.url, *urls, str(cookie)))
    await view.page.reload()
    await expect(view.heading("No model yet")).to_be_visible()


async def test_logging_out_closes_the_door_again(start: Serve, dashboard: Open) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    view = await dashboard(base(gateway))
    await view.page.get_by_label("Token").fill(TOKEN)
    await view.button("Log in").click()
    await view.button("Log out").click()
    await expect(view.heading("Log in")).to_be_visible()
    assert await view.page.context.cookies(f"{base(gateway)}/admin") == []


async def test_a_session_that_ended_leads_to_the_login(start: Serve, dashboard: Open) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    view = await dashboard(base(gateway))
    await view.page.get_by_label("Token").fill(TOKEN)
    await view.button("Log in").click()
    await expect(view.heading("No backend yet")).to_be_visible()
    app = gateway.nexus.administration.app
    assert app is not None
    app._sessions.clear()
    view.expected = (WRONG,)
    await view.button("Add a backend").click()
    await view.page.get_by_label("Address").fill("127.0.0.1:1")
    await view.button("See what it is").click()
    await expect(view.heading("Log in")).to_be_visible()
    await expect(view.page.get_by_role("dialog")).to_have_count(0)


async def test_who_comes_through_a_proxy_without_a_token_is_told_how_to_get_one(
    start: Serve, dashboard: Open
) -> None:
    gateway = await start("")
    view = await dashboard(base(gateway), extra_http_headers={"X-Forwarded-For": "10.0.0.1"})
    await expect(view.heading("Only on its own computer")).to_be_visible()
    await expect(view.page.get_by_text("token_env")).to_be_visible()
