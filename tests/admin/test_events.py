"""``/admin/events``: what moves, seen as a page sees it."""

from __future__ import annotations

import asyncio

import pytest
from tests.admin.asking import watching
from tests.support.gateway import Serve, backend_toml

from nexus import testing
from nexus.admin.live import PENDING_MAX, Live
from nexus.tasks import SystemClock
from nexus.testing import FakeFleet, FakeModel
from nexus.testing.faults import Stage


async def test_a_page_sees_the_fleet_at_once_and_what_happens_to_it(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend) + "\n[health_check]\ninterval_seconds = 1\n")
    async with watching(gateway) as page:
        state = await page.next("state")
        (row,) = state["backends"]
        assert (row["name"], row["status"], row["models"]) == (backend.name, "healthy", 1)
        models = await page.next("models")
        assert [one["id"] for one in models["models"]] == ["m"]
        assert models["routing"]["strategy"] == "smart"
        await gateway.chat()
        news = await page.next("requests")
        assert [one["model"] for one in news["data"]] == ["m"]
        await page.next("state", lambda state: state["backends"][0]["first_byte_p50"] is not None)
        await backend.kill()
        await gateway.chat()
        down = await page.next("state", lambda state: state["backends"][0]["status"] == "unhealthy")
        assert down["backends"][0]["reason"]
        await page.next("models", lambda told: told["models"][0]["available"] is False)


async def test_a_running_stream_shows_its_tokens_as_they_come(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    backend.always(testing.Stall(stage=Stage.BODY, at_event=4))
    client = asyncio.ensure_future(gateway.chat(stream=True))
    async with watching(gateway, "state") as page:
        state = await page.next("state", lambda state: any(one["tokens"] for one in state["running"]))
        assert state["running"][0]["backend"] == backend.name
        assert state["totals"]["in_flight"] == 1
        (running,) = state["running"]
        await gateway.request("POST", f"/admin/requests/{running['id']}/cancel")
        await page.next("state", lambda state: state["running"] == [])
    await client


async def test_without_a_backend_it_says_what_was_looked_for(start: Serve) -> None:
    gateway = await start("")
    async with watching(gateway, "state") as page:
        state = await page.next("state")
        assert state["backends"] == []
        assert any("nexus serve --backend" in line for line in state["looked"])


async def test_topics_are_chosen_and_unknown_ones_refused(start: Serve) -> None:
    gateway = await start("")
    reply = await gateway.get("/admin/events?topics=stat")
    assert (reply.status, reply.error["param"]) == (400, "topics")
    assert "state" in reply.error["message"]


async def test_a_page_that_leaves_is_forgotten_and_nobody_looking_costs_nothing(start: Serve) -> None:
    gateway = await start("")
    app = gateway.nexus.administration.app
    assert app is not None
    async with watching(gateway) as page:
        await page.next("state")
        assert app.live.pages == 1
    await gateway.until(lambda: app.live.pages == 0)
    await gateway.until(lambda: len(app.live._tasks) == 0)


async def test_a_gateway_that_ends_sends_its_pages_away(start: Serve) -> None:
    gateway = await start("")
    async with watching(gateway) as page:
        await page.next("state")
        draining = asyncio.ensure_future(gateway.nexus.drain(5))
        assert await page.ended()
        await draining


async def test_a_page_that_takes_nothing_is_dropped_and_others_go_on() -> None:
    live = Live({"news": lambda *, begins: [b"{}"] * (1 if begins else PENDING_MAX)}, SystemClock())
    slow, quick = live.frames(frozenset({"news"})), live.frames(frozenset({"news"}))
    assert (await anext(slow)).startswith(b"retry")
    taken = 0
    async for _ in quick:
        taken += 1
        if live.dropped:
            break
    assert taken > PENDING_MAX
    rest = [frame async for frame in slow]
    assert rest == [b"event: news\ndata: {}\n\n"]
    assert live.pages == 1
    await live.close()
    assert live.pages == 0


async def test_a_defect_ends_the_stream_instead_of_standing_still(caplog: pytest.LogCaptureFixture) -> None:
    def make(*, begins: bool) -> list[bytes]:
        if begins:
            return [b"{}"]
        raise KeyError("a defect")

    live = Live({"news": make}, SystemClock())
    frames = [frame async for frame in live.frames(frozenset({"news"}))]
    assert len(frames) == 2
    assert live.pages == 0
    again = live.frames(frozenset({"news"}))
    assert (await anext(again)).startswith(b"retry")
    await live.close()
    assert any(record.exc_info for record in caplog.records)
