"""Traffic: the last hour, drawn and in tables."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import base
from tests.support.gateway import Serve, backend_toml

from nexus.testing import FakeFleet, FakeModel, Status

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


async def test_without_traffic_the_page_names_the_base_url(start: Serve, dashboard: Open) -> None:
    gateway = await start("")
    view = await dashboard(base(gateway), "#/traffic")
    await expect(view.heading("No request in the last hour")).to_be_visible()
    await expect(view.button(f"Copy: {base(gateway)}/v1")).to_be_visible()


async def test_requests_are_drawn_by_backend_and_by_model(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    one = await fleet.add("vllm", name="rack", models=[FakeModel("m")])
    other = await fleet.add("ollama", name="mac", models=[FakeModel("n")])
    gateway = await start(backend_toml(one, other))
    view = await dashboard(base(gateway), "#/traffic")
    await gateway.chat("m")
    await gateway.chat("n", stream=True)
    one.next(Status(400, b"{}"))
    await gateway.chat("m")
    # A bucket is ten seconds long, and comes when it is over: nobody reloads.
    charts = view.page.locator("nexus-chart canvas")
    await expect(charts).to_have_count(4)
    requests = view.page.locator("[data-figure=requests]")
    await expect(requests.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(r"rack now .*mac now ")
    )
    await requests.get_by_text("As a table").click()
    rows = requests.get_by_role("table").get_by_role("row")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(1)).to_contain_text("rack")
    await expect(rows.nth(1).get_by_role("cell").last).to_have_text("2 1 error")
    await view.page.get_by_text("By model").click()
    await expect(requests.get_by_role("img")).to_have_attribute("aria-label", re.compile(r"m now .*n now "))
    await view.page.reload()
    await expect(view.page.get_by_role("radio", name="By model")).to_be_checked()
    await expect(view.page.locator(".series-key li")).to_have_text(["m", "n"])
