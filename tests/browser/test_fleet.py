"""Fleet: who is there, how they are, and what can be done to them, as it happens."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import base
from tests.support.gateway import Serve, backend_toml

from nexus.testing import FakeFleet, FakeModel, Stage, Stall

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

QUICK = "[health_check]\ninterval_seconds = 0.3\nfailure_threshold = 1\nrecovery_threshold = 1\n"


async def test_an_empty_fleet_says_where_was_looked_and_what_to_do(start: Serve, dashboard: Open) -> None:
    gateway = await start("")
    view = await dashboard(base(gateway))
    await expect(view.heading("No backend yet")).to_be_visible()
    await expect(view.page.get_by_text("discovery is off")).to_be_visible()
    line = f"nexus backends add http://192.168.1.20:11434 --url {base(gateway)}"
    await expect(view.button(f"Copy: {line}")).to_be_visible()


async def test_a_card_says_what_a_backend_is_and_does(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", name="rack", models=[FakeModel("m"), FakeModel("n")])
    gateway = await start(backend_toml(backend))
    for _ in range(3):
        await gateway.chat()
    view = await dashboard(base(gateway))
    card = view.card("rack")
    for text in (
        "healthy",
        f"{backend.url}/v1",
        "from the configuration",
        "priority 50",
        "p50",
        "p95",
        "of 3",
    ):
        await expect(card.get_by_text(text).first).to_be_visible()
    await expect(card).to_contain_text("vllm 0.32.0")
    await expect(card.get_by_role("listitem")).to_have_text(["m", "n"])
    await expect(card.locator("dd", has_text="p50")).to_have_text(re.compile(r"\d\s+[mµ]?s\s+p50"))
    # It is in the configuration: it can be drained, and not removed.
    await expect(view.button("Remove rack")).to_have_count(0)


async def test_death_and_recovery_are_seen_without_a_reload(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("ollama", name="mac", models=[FakeModel("m")])
    gateway = await start(QUICK + backend_toml(backend))
    view = await dashboard(base(gateway))
    card = view.card("mac")
    await expect(card.get_by_text("healthy", exact=True)).to_be_visible()
    await backend.kill()
    await expect(card.get_by_text("unhealthy", exact=True)).to_be_visible()
    await expect(card.get_by_text(re.compile("refused"))).to_be_visible()
    await expect(view.page.get_by_role("status").first).to_contain_text("mac is unhealthy.")
    await expect(view.page).to_have_title(re.compile(r"^\(1 down\)"))
    await backend.start()
    await expect(card.get_by_text("healthy", exact=True)).to_be_visible()
    await expect(view.page).to_have_title("Fleet · Nexus")


async def test_adding_shows_first_what_it_is(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    backend = await fleet.add("ollama", models=[FakeModel("llama3:8b")])
    gateway = await start("")
    view = await dashboard(base(gateway))
    await view.button("Add a backend").click()
    await expect(view.page.get_by_label("Address")).to_be_focused()
    await view.page.get_by_label("Address").fill(f"{backend.host}:{backend.port}")
    await view.button("See what it is").click()
    verdict = view.page.locator("[data-verdict=serves]")
    await expect(verdict).to_contain_text("ollama")
    await expect(verdict.get_by_role("listitem")).to_have_text(["llama3:8b"])
    assert (await gateway.get("/admin/backends")).json["data"] == []
    await view.page.get_by_text("Name, type, priority").click()
    await view.page.get_by_label("Name").fill("desk")
    await view.button("Add it").click()
    await expect(view.card("desk").get_by_text("healthy", exact=True)).to_be_visible()
    await expect(view.page.get_by_role("dialog")).to_have_count(0)


async def test_what_does_not_answer_and_what_is_no_server_is_said_before_it_is_added(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    silent = await fleet.add("ollama")
    await silent.stop()
    gateway = await start("")
    view = await dashboard(base(gateway))
    view.expected = ("error: Failed to load resource: the server responded with a status of 422",)
    await view.button("Add a backend").click()
    address = view.page.get_by_label("Address")
    await address.fill(silent.url)
    await address.press("Enter")
    await expect(view.page.locator("[data-verdict=silent]")).to_contain_text("Nothing answers there")
    await expect(view.button("Add it anyway")).to_be_visible()
    # Another address is another server: the verdict on the last one is gone.
    await address.fill("http://169.254.169.254")
    await expect(view.page.locator("[data-verdict]")).to_have_count(0)
    await view.button("See what it is").click()
    await expect(view.page.get_by_role("alert")).to_contain_text("metadata service")
    await view.page.keyboard.press("Escape")
    await expect(view.page.get_by_role("dialog")).to_have_count(0)
    await expect(view.button("Add a backend")).to_be_focused()


async def test_drain_enable_check_and_remove(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start("")
    reply = await gateway.request(
        "POST", "/admin/backends", {"url": backend.url, "name": "desk"}, {"Content-Type": "application/json"}
    )
    assert reply.status == 201
    gate = asyncio.Event()
    backend.next(Stall(Stage.BODY, at_event=2, release=gate))
    view = await dashboard(base(gateway))
    card = view.card("desk")
    running = asyncio.create_task(gateway.chat(stream=True))
    await backend.wait_for_requests(1)
    await view.button("Drain desk").click()
    await expect(card.get_by_text("drained")).to_be_visible()
    await expect(card.get_by_text("1 request is still running")).to_be_visible()
    assert (await gateway.chat()).status == 503
    gate.set()
    assert (await running).status == 200
    await expect(card.get_by_text("Nothing runs there")).to_be_visible()
    await view.button("Enable desk").click()
    await expect(card.get_by_text("drained")).to_have_count(0)
    assert (await gateway.chat()).status == 200
    await view.button("Check desk").click()
    await expect(view.page.get_by_label("Notices")).to_contain_text("desk answered: healthy")
    await view.button("Remove desk").click()
    await view.button("Keep it").click()
    await expect(card).to_be_visible()
    await view.button("Remove desk").click()
    await view.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(card).to_have_count(0)
    await expect(view.heading("No backend yet")).to_be_visible()
