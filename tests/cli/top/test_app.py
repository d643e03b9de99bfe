"""The keys of ``nexus top``, on a screen without a terminal, against running gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.cli.door import Door
from tests.support.gateway import RunningGateway, Serve, backend_toml
from textual.pilot import Pilot
from textual.widgets import Input, Static

from nexus import testing
from nexus.cli.administration import Administration
from nexus.cli.show import clean
from nexus.cli.top import rows
from nexus.cli.top.app import Top
from nexus.cli.top.dialogs import Confirm, Help
from nexus.cli.top.feed import Lost, Moved
from nexus.cli.top.pane import Pane
from nexus.testing import FakeFleet, FakeModel, Stage

SECONDS = 30.0
HOSTILE = "\x1b[2J[red]evil[/]\r\n"


class Watched:
    """``nexus top`` as a person sees it."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    def pane(self, name: str) -> Pane:
        return self.app.screen_stack[0].query_one(f"#{name}", Pane)

    def rows(self, name: str) -> list[list[str]]:
        pane = self.pane(name)
        return [[str(cell) for cell in pane.get_row_at(at)] for at in range(pane.row_count)]

    def names(self, name: str) -> list[str]:
        """The first column; of running requests the second."""
        return [row[1 if name == "running" else 0] for row in self.rows(name)]

    def heads(self, name: str) -> list[str]:
        return [str(column.label) for column in self.pane(name).ordered_columns]

    def line(self, name: str) -> str:
        return str(self.app.screen_stack[0].query_one(f"#{name}", Static).content)

    def offered(self) -> set[str]:
        """The keys that the foot shows."""
        bindings = self.app.screen_stack[0].active_bindings.values()
        return {active.binding.action for active in bindings if active.binding.show and active.enabled}

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what is seen; the deadline only catches hanging."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                await self._pilot.pause()
                await asyncio.sleep(0.005)


@asynccontextmanager
async def watch(url: str, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Watched]:
    app = Top(Administration(url, None))
    async with app.run_test(size=size) as pilot:
        yield Watched(app, pilot)


def url(gateway: RunningGateway) -> str:
    return f"http://127.0.0.1:{gateway.nexus.port}"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXUS_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)


async def two(fleet: FakeFleet, start: Serve) -> RunningGateway:
    a = await fleet.add("ollama", name="alpha", models=[FakeModel("m"), FakeModel("only-alpha")])
    b = await fleet.add("vllm", name="beta", models=[FakeModel("m")])
    return await start(backend_toml(b, a, alpha="priority = 60"))


async def test_the_fleet_and_its_models_are_seen_and_move(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet") == ["beta", "alpha"])
        await top.until(lambda: top.names("models") == ["m", "only-alpha"])
        assert top.line("head").startswith("Nexus ")
        assert url(gateway) in top.line("head")
        assert top.line("detail").startswith("beta is healthy")
        await fleet.backends[1].kill()
        await gateway.chat()
        await top.until(lambda: top.rows("fleet")[0][1] == "unhealthy")
        await top.until(lambda: "beta is unhealthy" in top.line("detail"))


async def test_backends_are_drained_enabled_and_checked(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet") == ["beta", "alpha"])
        await top.press("down", "d")
        await top.until(lambda: top.rows("fleet")[1][1] == "draining")
        await top.press("e")
        await top.until(lambda: top.rows("fleet")[1][1] == "healthy")
        polls = len(fleet.backends[0].probe_requests)
        await top.press("c")
        await top.until(lambda: len(fleet.backends[0].probe_requests) > polls)
        await top.until(lambda: any("alpha was asked: healthy" in said for said in told(top)))


def told(top: Watched) -> list[str]:
    return [note.message for note in top.app._notifications]


async def test_a_running_request_is_cancelled_when_that_is_meant(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    fleet.backends[1].always(testing.Stall(stage=Stage.BODY, at_event=3))
    client = asyncio.ensure_future(gateway.chat(stream=True))
    async with watch(url(gateway)) as top:
        await top.press("3")
        await top.until(lambda: top.names("running") == ["m"])
        await top.press("x")
        await top.until(lambda: isinstance(top.app.screen, Confirm))
        await top.press("n")
        await top.until(lambda: not isinstance(top.app.screen, Confirm))
        assert gateway.nexus.exchanges.running
        await top.press("x")
        await top.until(lambda: isinstance(top.app.screen, Confirm))
        await top.press("y")
        reply = await client
        assert "cancelled" in reply.events[-1]
        await top.until(lambda: top.names("running") == [])
        await top.until(lambda: any("Cancelled" in said for said in told(top)))


async def test_what_goes_wrong_is_said(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet") == ["beta", "alpha"])
        top.app._feed.do(lambda: top.app._cancelled("[gone]"))
        await top.until(lambda: any("No request '[gone]'" in said for said in told(top)))


async def test_only_what_can_be_done_is_offered(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet"))
        actions = {"drain", "enable", "check", "cancel"}
        await top.until(lambda: top.offered() & actions == {"drain", "enable", "check"})
        await top.press("2")
        await top.until(lambda: top.offered() & actions == set())
        await top.press("3")
        await top.until(lambda: top.offered() & actions == {"cancel"})
        await top.press("x", "d", "c")
        assert len(top.app.screen_stack) == 1


async def test_rows_are_sorted_and_turned(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet") == ["beta", "alpha"])
        await top.press("s")
        assert top.names("fleet") == ["alpha", "beta"]
        assert top.heads("fleet")[0] == "Backend ▴"
        assert top.pane("fleet").chosen.name == "beta"  # type: ignore[union-attr]  # there are rows
        await top.press("r")
        assert top.names("fleet") == ["beta", "alpha"]
        assert top.heads("fleet")[0] == "Backend ▾"
        for _ in top.heads("fleet"):
            await top.press("s")
        assert top.heads("fleet")[0] == "Backend"
        assert top.names("fleet") == ["beta", "alpha"]


async def test_rows_are_filtered_while_typing_and_shown_again(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: len(top.names("fleet")) == len(top.names("models")) == 2)
        await top.press("slash", *"alPHA")
        await top.until(lambda: top.names("fleet") == ["alpha"])
        assert top.line("head").startswith("Filter: alPHA")
        assert top.names("models") == ["m", "only-alpha"]
        await top.press("enter")
        assert top.app.query_one("#filter", Input).display is False
        assert isinstance(top.app.focused, Pane)
        await top.press("slash", "x", "escape")
        await top.until(lambda: len(top.names("fleet")) == 2)


async def test_a_filter_may_hold_the_letters_of_keys(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet"))
        await top.press("slash", *"qdxsr123")
        assert top.app.query_one("#filter", Input).value == "qdxsr123"
        assert top.app.is_running


async def test_help_comes_and_goes_and_q_ends_it(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.press("question_mark")
        await top.until(lambda: isinstance(top.app.screen, Help))
        await top.press("escape")
        await top.until(lambda: not isinstance(top.app.screen, Help))
        await top.press("q")
        await top.until(lambda: not top.app.is_running)
    assert top.app.return_code == 0


async def test_a_wider_screen_shows_more_columns(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    async with watch(url(gateway)) as top:
        await top.until(lambda: top.names("fleet"))
        assert "URL" not in top.heads("fleet")
        await top.resize(160, 50)
        await top.until(lambda: "URL" in top.heads("fleet"))
        assert "127.0.0.1" in " ".join(top.rows("fleet")[0])


async def test_it_says_while_there_are_no_news_and_comes_back(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    door = Door(gateway.nexus.port)
    await door.open()
    async with watch(door.url) as top:
        await top.until(lambda: top.names("fleet") == ["beta", "alpha"])
        door.cut(None)
        await top.until(lambda: top.line("head").startswith("Disconnected, trying again: "))
        assert top.app.screen.has_class("-stale")
        assert top.names("fleet") == ["beta", "alpha"]
        door.cut(gateway.nexus.port)
        await top.until(lambda: top.line("head").startswith("Nexus "))
        assert not top.app.screen.has_class("-stale")
    await door.close()


async def test_without_a_backend_it_says_what_to_do(start: Serve) -> None:
    gateway = await start("")
    async with watch(url(gateway)) as top:
        await top.until(lambda: "nexus serve --backend" in top.line("detail"))


async def test_names_from_elsewhere_are_only_text(fleet: FakeFleet, start: Serve) -> None:
    gateway = await two(fleet, start)
    fleet.backends[1].always(testing.Stall(stage=Stage.BODY, at_event=1))
    client = asyncio.ensure_future(gateway.chat(stream=True, headers={"X-Request-Id": "[b]x"}))
    async with watch(url(gateway), (150, 40)) as top:
        await top.until(lambda: top.names("running"))
        state: dict[str, Any] = {**top.app._state}
        state["running"] = [{**one, "model": HOSTILE} for one in state["running"]] * 2
        top.pane("running").fill(rows.running(state))
        assert top.names("running") == [clean(HOSTILE)] * 2
        for one in tuple(gateway.nexus.exchanges.running):
            await gateway.request("POST", f"/admin/requests/{one.request_id}/cancel")
        await client


async def test_news_that_come_while_the_screen_is_taken_down_are_nobodys(start: Serve) -> None:
    gateway = await start("")
    async with watch(url(gateway)) as top:
        await top.until(lambda: not top.app.lost)
        for pane in top.app.screen_stack[0].query(Pane):
            await pane.remove()
        top.app.on_moved(Moved("state", {"backends": [], "running": []}))
        top.app.on_lost(Lost("gone"))
        assert not top.app.lost
