"""The walk that an operator takes, over a fleet with something to see.

``NEXUS_SCREENSHOTS=1`` has the pictures of the documentation taken on the way, into ``docs/images``.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.dashboard import PHONE, Dashboard, base
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.domain import Outcome, Usage
from nexus.testing import FakeBackend, FakeFleet, FakeModel, Stage, Stall

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
RULES = """
[routing]
default_model = "llama3.1:8b"
[routing.aliases]
"gpt-4" = "llama3.1:8b"
[routing.fallbacks]
"llama3.1:8b" = ["qwen3:4b"]
"""
LONG_PROMPT = "Summarise this report. " * 1600
ANSWER = (
    "A gateway reads a request once, decides on a snapshot of the fleet which server can answer it soonest, "
    "and relays the reply as it comes."
)


async def shoot(view: Dashboard, name: str) -> None:
    """Take a picture for the documentation, if somebody asked for pictures."""
    if os.environ.get("NEXUS_SCREENSHOTS") == "1":
        IMAGES.mkdir(exist_ok=True)
        await view.page.screenshot(path=IMAGES / f"dashboard-{name}.png")


async def small_company(fleet: FakeFleet) -> dict[str, FakeBackend]:
    """A workstation, a rack, a laptop, and a desktop that is switched off."""
    return {
        "mac": await fleet.add(
            "ollama",
            name="mac",
            pace=0.02,
            models=[
                FakeModel("llama3.1:8b", context=4096, reply=ANSWER),
                FakeModel("qwen3:4b", loaded=False),
            ],
        ),
        "rack": await fleet.add(
            "vllm", name="rack", pace=0.05, models=[FakeModel("llama3.1:8b", context=131072, reply=ANSWER)]
        ),
        "laptop": await fleet.add(
            "lmstudio", name="laptop", pace=0.03, models=[FakeModel("gemma-3-4b", vision=True, context=8192)]
        ),
        "desk": await fleet.add("llamacpp", name="desk", models=[FakeModel("llama3.1:8b", context=8192)]),
    }


def an_hour_of_traffic(gateway: RunningGateway) -> None:
    """Tell the charts of an hour that nobody wants to wait for."""
    begin = time.time() - 3500
    for step in range(0, 3400, 5):
        wave = 1.4 + math.sin(step / 500)
        for backend, model, share in (("rack", "llama3.1:8b", 3), ("mac", "qwen3:4b", 1)):
            for number in range(round(share * wave * (0.7 + (step * 7 % 11) / 18))):
                gateway.nexus.observed.traffic.observe(
                    Outcome(
                        request_id="",
                        surface="chat",
                        served_model=model,
                        backend=backend,
                        status=502 if (step + number) % 97 == 0 else 200,
                        usage=Usage(200, 40 + step % 60),
                        started_at=begin + step,
                        first_byte_seconds=0.15 * share * (1 + wave / 4 + (step * 13 % 17) / 40),
                        seconds=1.0,
                    )
                )


async def some_requests(gateway: RunningGateway) -> None:
    """What is asked of such a fleet in a minute."""
    names = ["llama3.1:8b" if number % 3 else "gpt-4" for number in range(12)]
    await asyncio.gather(*(gateway.chat(name, stream=True) for name in names))
    await gateway.chat("gemma-3-4b", stream=True)
    await gateway.chat("gpt-5")
    await gateway.chat(
        "gpt-4",
        messages=[{"role": "user", "content": LONG_PROMPT}],
        tools=[{"type": "function", "function": {"name": "search"}}],
        headers={"X-Request-Id": "the-long-report"},
    )


async def test_a_new_user_finds_out_what_happens_and_why(
    fleet: FakeFleet, start: Serve, dashboard: Open
) -> None:
    backends = await small_company(fleet)
    await backends["desk"].stop()
    extra = {"mac": "priority = 20", "rack": "slots = 32"}
    gateway = await start(RULES + backend_toml(*backends.values(), **extra))
    an_hour_of_traffic(gateway)
    view = await dashboard(base(gateway), color_scheme="dark")
    await expect(view.card("rack")).to_be_visible()
    await some_requests(gateway)
    backends["rack"].always(Stall(Stage.BODY, at_event=9))
    running = [asyncio.create_task(gateway.chat("rack/llama3.1:8b", stream=True)) for _ in range(3)]
    await expect(view.card("rack")).to_contain_text("3 of 32 slots")
    await expect(view.card("desk")).to_contain_text("refused")
    await view.button("Drain laptop").click()
    await expect(view.card("laptop")).to_contain_text("drained")
    await view.page.get_by_role("button", name=re.compile("^Dismiss")).click()
    await shoot(view, "fleet")
    await view.page.get_by_role("link", name="Models").click()
    await expect(view.page.locator("tbody[data-model]")).to_have_count(3)
    await shoot(view, "models")
    await view.page.get_by_role("link", name="Traffic").click()
    await expect(view.page.locator("nexus-chart canvas")).to_have_count(4)
    await shoot(view, "traffic")
    await view.page.get_by_role("link", name="Requests").click()
    await expect(view.page.get_by_role("table", name="Running requests").locator("tbody tr")).to_have_count(3)
    await view.page.get_by_role("link", name=re.compile("^Request the-long")).click()
    await expect(view.page.locator(".detail").get_by_role("row", name=re.compile("^ ?mac"))).to_contain_text(
        "4096"
    )
    await shoot(view, "requests")
    backends["rack"].clear()
    await view.page.get_by_role("link", name="Try it").click()
    await view.page.get_by_label("Prompt", exact=True).fill("What does a gateway do?")
    await view.page.keyboard.press("Enter")
    await expect(view.page.locator("[data-answer] .text")).to_have_text(ANSWER)
    await expect(view.page.locator(".aside .answer-line")).to_be_visible()
    await shoot(view, "try")
    phone = await dashboard(base(gateway), color_scheme="light", viewport=PHONE)
    await expect(phone.card("rack")).to_contain_text("3 of 32 slots")
    await shoot(phone, "phone")
    for task in running:
        task.cancel()
