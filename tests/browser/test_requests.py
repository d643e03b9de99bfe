"""Requests: those that run, those that ended, and why each went where it went."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import base
from tests.support.gateway import Serve, backend_toml

from nexus.testing import FakeFleet, FakeModel, ServerError, Stage, Stall

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


async def test_a_running_request_ticks_and_can_be_cancelled(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", name="rack", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    view = await dashboard(base(gateway), "#/requests")
    await expect(view.page.get_by_text("Nothing is running.")).to_be_visible()
    backend.next(Stall(Stage.BODY, at_event=3))
    running = asyncio.create_task(gateway.chat(stream=True, headers={"X-Request-Id": "slow-one"}))
    table = view.page.get_by_role("table", name="Running requests")
    row = table.get_by_role("row").nth(1)
    await expect(row).to_contain_text("slow-one")
    await expect(row).to_contain_text("answering")
    await expect(row.get_by_role("cell").nth(1)).to_have_text("rack")
    await expect(row.get_by_role("cell").nth(3)).to_have_text(re.compile(r"^\s*[2-9] s\s*$"))
    await expect(row.get_by_role("cell").nth(4)).to_have_text(re.compile(r"^\s*[1-9]\s*$"))
    await row.get_by_role("button", name="Cancel request slow-one for m").click()
    reply = await running
    assert '"code":"cancelled"' in reply.events[-1].replace(" ", "")
    await expect(view.page.get_by_text("Nothing is running.")).to_be_visible()
    ended = view.page.get_by_role("table", name="Finished requests, newest first").get_by_role("row").nth(1)
    await expect(ended).to_contain_text("cancelled")


async def test_finished_requests_appear_and_are_filtered(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", name="rack", models=[FakeModel("m"), FakeModel("n")])
    gateway = await start(backend_toml(backend))
    view = await dashboard(base(gateway), "#/requests")
    await expect(view.page.get_by_text("No request has ended yet.")).to_be_visible()
    await gateway.chat("m")
    await gateway.chat("n")
    await gateway.chat("nobody-has-it")
    rows = view.page.get_by_role("table", name="Finished requests, newest first").locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(0)).to_contain_text("404")
    await view.page.get_by_label("Outcome").select_option("failed")
    await expect(rows).to_have_count(1)
    await view.page.reload()
    await expect(view.page.get_by_label("Outcome")).to_have_value("failed")
    await expect(rows).to_have_count(1)
    await view.page.get_by_label("Outcome").select_option("all")
    await view.page.get_by_label("Model").select_option("n")
    await expect(rows).to_have_count(1)
    await gateway.chat("n")
    await gateway.chat("m")
    await expect(rows).to_have_count(2)
    await view.page.get_by_label("Model").select_option("all")
    await view.page.get_by_label("Find").fill("NOBODY")
    await expect(rows).to_have_count(1)
    await view.page.get_by_label("Find").fill("there is no such thing")
    await view.page.get_by_role("link", name="Show all").click()
    await expect(rows).to_have_count(5)


async def test_a_request_explains_itself(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    small = await fleet.add("llamacpp", name="small", models=[FakeModel("m", context=512)])
    weak = await fleet.add("vllm", name="weak", models=[FakeModel("m")])
    good = await fleet.add("vllm", name="good", models=[FakeModel("m")])
    toml = backend_toml(small, weak, good, weak="priority = 10")
    gateway = await start("[routing.aliases]\n'gpt-4' = 'm'\n" + toml)
    weak.next(ServerError())
    reply = await gateway.chat(
        "gpt-4",
        messages=[{"role": "user", "content": "word " * 1500}],
        headers={"X-Request-Id": "explained"},
    )
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good")
    view = await dashboard(base(gateway), "#/requests")
    await view.page.get_by_role("link", name=re.compile("^Request explained")).click()
    detail = view.page.locator(".detail")
    await expect(detail.get_by_role("heading", name="Request explained")).to_be_focused()
    await expect(detail.locator(".answer-line").first).to_contain_text("good")
    await expect(detail.get_by_text("'gpt-4' stands for 'm'.").first).to_be_visible()
    candidates = detail.get_by_role("table", name="Candidates for gpt-4").first
    row = candidates.get_by_role("row", name=re.compile("^ ?good"))
    await expect(row).to_contain_text("chosen")
    await expect(row).to_contain_text(re.compile(r"= [\d.]+ priority \+ [\d.]+ load \+ [\d.]+ latency"))
    refused = candidates.get_by_role("row", name=re.compile("^ ?small"))
    await expect(refused).to_contain_text("refused")
    await expect(refused).to_contain_text("512")
    await expect(refused).to_contain_text("Waiting will not help.")
    attempts = detail.get_by_role("table", name="Attempts, in order")
    await expect(attempts.get_by_role("row").nth(1)).to_contain_text("1. weak")
    await expect(attempts.get_by_role("row").nth(1)).to_contain_text("server error")
    await expect(attempts.get_by_role("row").nth(2)).to_contain_text("answered")
    await detail.get_by_text("Earlier decisions (1)").click()
    await expect(detail.get_by_text("Decision 1", exact=True)).to_be_visible()
    # The place is in the address: a reload, or somebody who is sent it, sees the same.
    await view.page.reload()
    await expect(detail.locator(".answer-line").first).to_contain_text("good")
    await detail.get_by_role("link", name="Close").click()
    await expect(detail).to_have_count(0)


async def test_a_refusal_says_for_each_backend_what_would_help(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("ollama", name="blind", models=[FakeModel("m", vision=False)])
    gateway = await start(backend_toml(backend))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    reply = await gateway.chat(
        messages=[{"role": "user", "content": [image]}], headers={"X-Request-Id": "refused"}
    )
    assert reply.status == 503
    view = await dashboard(base(gateway), "#/requests/refused")
    detail = view.page.locator(".detail")
    await expect(detail.locator(".answer-line")).to_contain_text("Nobody could serve it")
    await expect(detail.get_by_role("row", name=re.compile("^ ?blind"))).to_contain_text(
        "Waiting will not help"
    )
    await expect(detail.get_by_text("vision", exact=True)).to_be_visible()


async def test_a_request_that_is_not_kept_says_so(start: Serve, dashboard: Open) -> None:
    gateway = await start("")
    view = await dashboard(base(gateway), "#/requests/long-gone")
    view.expected = ("error: Failed to load resource: the server responded with a status of 404",)
    await expect(view.page.get_by_role("alert")).to_contain_text("No request 'long-gone'")


async def test_a_client_that_gives_every_request_one_id_gets_a_row_for_each(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    same = {"X-Request-Id": "always-the-same"}
    await gateway.chat(headers=same)
    view = await dashboard(base(gateway), "#/requests")
    rows = view.page.get_by_role("table", name="Finished requests, newest first").locator("tbody tr")
    await expect(rows).to_have_count(1)
    backend.next(Stall(Stage.BODY, at_event=2), Stall(Stage.BODY, at_event=2))
    running = [asyncio.create_task(gateway.chat(stream=True, headers=same)) for _ in range(2)]
    table = view.page.get_by_role("table", name="Running requests")
    await expect(table.locator("tbody tr")).to_have_count(2)
    await gateway.chat(headers=same)
    await expect(rows).to_have_count(2)
    for task in running:
        task.cancel()
    await expect(rows).to_have_count(4)
