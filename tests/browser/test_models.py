"""Models: who has which, what each can do, and that a name is text whatever it holds."""

from __future__ import annotations

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import base
from tests.support.gateway import Serve, backend_toml

from nexus.testing import FakeFleet, FakeModel

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

RULES = """
[routing]
default_model = "llama3:8b"
[routing.aliases]
"gpt-4" = "llama3:8b"
[routing.fallbacks]
"llama3:8b" = ["qwen3:4b", "phi4"]
"""
HOSTILE = "<img src=x onerror=document.title='owned'>"


async def test_each_model_is_shown_on_each_backend(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    ollama = await fleet.add(
        "ollama",
        name="mac",
        models=[
            FakeModel("llama3:8b", context=4096, tools=True),
            FakeModel("qwen3:4b", loaded=False, trained_context=32768),
        ],
    )
    vllm = await fleet.add("vllm", name="rack", models=[FakeModel("llama3:8b", context=8192)])
    gateway = await start(RULES + backend_toml(ollama, vllm))
    view = await dashboard(base(gateway), "#/models")
    rows = view.page.locator("tbody[data-model='llama3:8b'] tr")
    await expect(rows).to_have_count(2)
    cells = rows.nth(0).get_by_role("cell")
    await expect(cells.nth(0)).to_have_text("mac")
    await expect(cells.nth(1)).to_have_text("yes")
    await expect(cells.nth(2)).to_contain_text("4,096 tokens")
    await expect(cells.nth(3).locator("dt")).to_contain_text(["yes", "no", "unknown"])
    await expect(cells.nth(3)).to_contain_text("tools")
    await expect(rows.nth(1)).to_contain_text("8,192 tokens")
    unloaded = view.page.locator("tbody[data-model='qwen3:4b'] tr").get_by_role("cell")
    await expect(unloaded.nth(1)).to_have_text("no")
    await expect(unloaded.nth(2)).to_contain_text("unknown")
    aliases = view.page.locator("section", has=view.heading("Aliases"))
    await expect(aliases).to_contain_text("gpt-4")
    await expect(aliases).to_contain_text("Requests without a model get llama3:8b.")
    chains = view.page.locator("section", has=view.heading("Fallback chains"))
    await expect(chains.get_by_role("listitem")).to_contain_text("llama3:8b, then qwen3:4b, then phi4")


async def test_finding_keeps_its_place_over_a_reload(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("llama3"), FakeModel("qwen3")])
    gateway = await start(backend_toml(backend))
    view = await dashboard(base(gateway), "#/models")
    await expect(view.page.locator("tbody[data-model]")).to_have_count(2)
    await view.page.get_by_label("Find").fill("qwen")
    await expect(view.page.locator("tbody[data-model]")).to_have_count(1)
    await view.page.reload()
    await expect(view.page.get_by_label("Find")).to_have_value("qwen")
    await expect(view.page.locator("tbody[data-model]")).to_have_count(1)
    await view.page.get_by_label("Find").fill("nobody has this")
    await expect(view.page.get_by_text("No model or backend has")).to_be_visible()


async def test_without_a_model_the_page_says_where_models_come_from(start: Serve, dashboard: Open) -> None:
    gateway = await start("")
    view = await dashboard(base(gateway), "#/models")
    await expect(view.heading("No model yet")).to_be_visible()
    await view.page.get_by_role("link", name="See the fleet").click()
    await expect(view.heading("No backend yet")).to_be_visible()


async def test_names_of_backends_models_and_clients_never_become_markup(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel(HOSTILE, reply=HOSTILE)])
    gateway = await start(backend_toml(backend))
    await gateway.chat(HOSTILE)
    await gateway.chat(HOSTILE * 2)
    view = await dashboard(base(gateway), "#/fleet")
    for place in ("#/fleet", "#/models", "#/traffic?by=model", "#/requests", "#/try"):
        await view.go(place)
        if place != "#/traffic?by=model":
            await expect(view.page.get_by_text(HOSTILE).first).to_be_attached()
        assert await view.page.locator("main img").count() == 0
    await view.page.get_by_label("Prompt", exact=True).fill(HOSTILE)
    await view.button("Send").click()
    await expect(view.page.locator("[data-answer] .text")).to_have_text(HOSTILE)
    assert await view.page.locator("main img").count() == 0
    await expect(view.page).to_have_title("Try it · Nexus")
