"""Try it: a chat from the page that Nexus serves, with what Nexus did beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import base
from tests.support.gateway import Serve, backend_toml

from nexus.demo.llama import LlamaServer
from nexus.testing import CutStream, FakeFleet, FakeModel, Stage, Stall

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.mark.real
async def test_a_chat_with_a_real_server_streams_and_is_explained(
    llama_server: LlamaServer, start: Serve, dashboard: Open
) -> None:
    gateway = await start(f'[[backends]]\nname = "llama"\nurl = "{llama_server.url}"\n')
    view = await dashboard(base(gateway), "#/try")
    await expect(view.page.get_by_label("Model")).to_have_value(llama_server.alias)
    await view.page.get_by_label("Prompt", exact=True).fill("Say hello in one short sentence.")
    await view.page.keyboard.press("Enter")
    answer = view.page.locator("[data-answer]")
    await expect(answer.locator(".text")).to_have_text(re.compile(r"\w+ .*\w+"))
    await expect(answer.locator(".facts")).to_contain_text(re.compile(r"First token after .*, \d+ tokens"))
    await expect(view.button("Send")).to_be_visible(timeout=60_000)
    aside = view.page.get_by_role("complementary", name="What Nexus did")
    await expect(aside.get_by_text("x-nexus-backend", exact=True)).to_be_visible()
    await expect(aside.get_by_text("x-nexus-request-id")).to_be_visible()
    await expect(aside.locator(".answer-line")).to_contain_text("llama")
    await aside.get_by_role("link", name="All about this request").click()
    await expect(view.page.locator(".detail .answer-line")).to_contain_text("llama")
    outcome = await gateway.outcome()
    assert (outcome.status, outcome.streamed, outcome.backend) == (200, True, "llama")


async def test_an_answer_can_be_stopped_and_the_backend_notices(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    backend.next(Stall(Stage.BODY, at_event=3))
    view = await dashboard(base(gateway), "#/try?model=m")
    await view.page.get_by_label("Prompt", exact=True).fill("Hello")
    await view.button("Send").click()
    await expect(view.page.locator("[data-answer] .facts")).to_contain_text("First token")
    await view.button("Stop").click()
    await expect(view.page.locator("[data-answer]")).to_contain_text("Stopped.")
    await backend.wait_for_departure()
    assert (await gateway.outcome()).client_closed


async def test_the_conversation_and_the_system_prompt_go_along(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m", reply="Of course.")])
    gateway = await start(backend_toml(backend))
    view = await dashboard(base(gateway), "#/try")
    await view.page.get_by_text("System prompt, client key").click()
    await view.page.get_by_label("System prompt", exact=True).fill("Be brief.")
    for number, question in enumerate(("First?", "Second?"), 1):
        await view.page.get_by_label("Prompt", exact=True).fill(question)
        await view.page.keyboard.press("Enter")
        await gateway.outcome(number)
        await expect(view.button("Send")).to_be_visible()
    sent: Any = backend.surface_requests[-1].json
    assert [(one["role"], one["content"]) for one in sent["messages"]] == [
        ("system", "Be brief."),
        ("user", "First?"),
        ("assistant", "Of course."),
        ("user", "Second?"),
    ]
    assert sent["stream"] is True


async def test_a_stream_that_breaks_says_so(fleet: FakeFleet, start: Serve, dashboard: Open) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    backend.next(CutStream(at_event=3))
    view = await dashboard(base(gateway), "#/try")
    await view.page.get_by_label("Prompt", exact=True).fill("Hello")
    await view.page.keyboard.press("Enter")
    await expect(view.page.locator("[data-answer] .error-text")).to_be_visible()
    assert (await gateway.outcome()).error == "upstream_closed"


async def test_a_client_key_is_asked_for_where_one_is_needed_and_kept_nowhere(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m", reply="Welcome.")])
    gateway = await start(backend_toml(backend), NEXUS_API_KEY="client-key-1")
    view = await dashboard(base(gateway), "#/try")
    view.expected = ("error: Failed to load resource: the server responded with a status of 401",)
    await view.page.get_by_label("Prompt", exact=True).fill("Hello")
    await view.page.keyboard.press("Enter")
    await expect(view.page.locator("[data-answer] .error-text")).to_contain_text("API key")
    await view.page.get_by_label("Client key").fill("client-key-1")
    await view.page.get_by_label("Prompt", exact=True).fill("Hello")
    await view.page.keyboard.press("Enter")
    await expect(view.page.locator("[data-answer] .text").last).to_have_text("Welcome.")
    stored = await view.page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert "client-key-1" not in stored + view.page.url
    await view.page.reload()
    await view.page.get_by_text("System prompt, client key").click()
    await expect(view.page.get_by_label("Client key")).to_have_value("")
