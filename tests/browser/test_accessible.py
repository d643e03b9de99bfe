"""For everybody: by keyboard, by screen reader, on a phone, in dark and light."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import DESK, PHONE, base
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.testing import FakeFleet, FakeModel, Stage, Stall

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

FOCUSED = """() => {
  const one = document.activeElement;
  const name = one.getAttribute("aria-label") ?? one.labels?.[0]?.innerText ?? one.innerText;
  return [name.trim(), getComputedStyle(one).outlineStyle !== "none"];
}"""
LONG = "a-model-with-a-name-that-is-longer-than-any-phone-is-wide-and-has-no-space-Q4_K_M"


async def busy_gateway(fleet: FakeFleet, start: Serve) -> RunningGateway:
    """A gateway with something to show in every view."""
    one = await fleet.add("vllm", name="rack", models=[FakeModel("m"), FakeModel(LONG)])
    other = await fleet.add("ollama", name="mac", models=[FakeModel("m", context=64)])
    gone = await fleet.add("llamacpp", name="gone", models=[FakeModel("m")])
    await gone.stop()
    gateway = await start(backend_toml(one, other, gone))
    await gateway.chat(
        messages=[{"role": "user", "content": "word " * 400}], headers={"X-Request-Id": "kept"}
    )
    await gateway.chat("unknown")
    one.always(Stall(Stage.BODY, at_event=2))
    other.always(Stall(Stage.BODY, at_event=2))
    return gateway


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    fleet: FakeFleet, start: Serve, dashboard: Open, scheme: str, size: dict[str, Any]
) -> None:
    gateway = await busy_gateway(fleet, start)
    running = asyncio.create_task(gateway.chat(stream=True))
    view = await dashboard(base(gateway), color_scheme=scheme, viewport=size)
    found: list[str] = []

    async def look(place: str) -> None:
        assert await view.overflow() <= 0, place
        found.extend(f"{place} {one}" for one in await view.severe_findings())

    for place, shows in (
        ("#/fleet", "unhealthy"),
        ("#/models", LONG),
        ("#/traffic", "of the last hour"),
        ("#/requests", "answering"),
        ("#/requests/kept", "chosen"),
        ("#/try", "What Nexus did"),
    ):
        await view.go(place)
        await expect(view.page.locator("main").get_by_text(shows).first).to_be_attached()
        await look(place)
    await view.go("#/fleet")
    await view.button("Add a backend").click()
    await look("the form")
    running.cancel()
    assert found == []


async def test_login_and_empty_views_have_no_serious_findings(start: Serve, dashboard: Open) -> None:
    closed = await start('[admin]\ntoken_env = "GATEWAY_ADMIN_TOKEN"\n', GATEWAY_ADMIN_TOKEN="t" * 24)
    login = await dashboard(base(closed), viewport=PHONE)
    await expect(login.heading("Log in")).to_be_visible()
    assert (await login.severe_findings(), await login.overflow()) == ([], 0)
    gateway = await start("")
    view = await dashboard(base(gateway), viewport=PHONE)
    for place in ("#/fleet", "#/models", "#/traffic", "#/requests", "#/try"):
        await view.go(place)
        await expect(view.page.get_by_text("Live", exact=True)).to_be_visible()
        assert (await view.severe_findings(), await view.overflow()) == ([], 0)


async def test_all_can_be_done_by_keyboard(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    backend = await fleet.add("vllm", name="rack", models=[FakeModel("m", reply="By hand.")])
    gateway = await start(backend_toml(backend))
    await gateway.chat()
    view = await dashboard(base(gateway))
    await expect(view.card("rack")).to_be_visible()
    press = view.page.keyboard.press

    async def tab_to(name: str) -> None:
        """Go on until what has this name has the focus, and see that the focus can be seen."""
        for _ in range(60):
            await press("Tab")
            label, outlined = await view.page.evaluate(FOCUSED)
            if label == name:
                assert outlined, f"the focus on {name!r} cannot be seen"
                return
        raise AssertionError(f"{name!r} cannot be reached")

    await tab_to("Skip to the content")
    await press("Enter")
    await tab_to("Drain rack")
    await press("Enter")
    await expect(view.card("rack").get_by_text("drained")).to_be_visible()
    # The focus stays where it is while the card changes under it.
    await expect(view.button("Enable rack")).to_be_focused()
    await press("Enter")
    await expect(view.card("rack").get_by_text("drained")).to_have_count(0)
    await view.go("#/requests")
    await expect(view.page.get_by_text("1 request shown")).to_be_visible()
    await tab_to("Outcome")
    await press("Tab")
    await press("Tab")
    await press("Tab")
    await press("Enter")
    await expect(view.page.locator(".detail h2")).to_be_focused()
    await tab_to("Close")
    await press("Enter")
    await expect(view.page.locator(".detail")).to_have_count(0)
    await view.go("#/try")
    await expect(view.page.get_by_label("Model")).to_have_value("m")
    await tab_to("Prompt")
    await view.page.keyboard.type("Hello")
    await press("Enter")
    await expect(view.page.locator("[data-answer] .text")).to_have_text("By hand.")


async def test_the_theme_can_be_chosen_and_is_kept(start: Serve, dashboard: Open) -> None:
    gateway = await start("")
    view = await dashboard(base(gateway), color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = await view.page.evaluate(colour)
    await view.button("Colours: System. Change").click()
    await expect(view.button("Colours: Dark. Change")).to_be_visible()
    dark = await view.page.evaluate(colour)
    assert dark != light
    await view.page.reload()
    await expect(view.button("Colours: Dark. Change")).to_be_visible()
    assert await view.page.evaluate(colour) == dark
    await view.button("Colours: Dark. Change").click()
    assert await view.page.evaluate(colour) == light
