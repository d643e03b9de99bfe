"""Real zeroconf over real sockets on 127.0.0.1; only the faults are made up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import zeroconf.asyncio
from tests.services.discovery.kit import FakeClock
from tests.support.multicast import HANGING_SECONDS, HERE, Lan, announce, announcing, hear, lan
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from nexus.services.discovery import mdns
from nexus.services.discovery.mdns import LOOK_SECONDS, RETRY_CAP_SECONDS, WAY_ROUND, MdnsBrowser
from nexus.services.discovery.sightings import Sighting
from nexus.tasks import Clock, SystemClock

__all__ = ["lan"]

pytestmark = pytest.mark.timeout(3 * HANGING_SECONDS)


class LooksWhenTold(FakeClock):
    """Looks for another network when a test says so; what got no answer is asked again in real time."""

    async def sleep(self, seconds: float) -> None:
        await (super().sleep(seconds) if seconds == LOOK_SECONDS else asyncio.sleep(seconds))


class Recorder:
    """Keeps what is sighted now, and everything that was said."""

    def __init__(self) -> None:
        self.now: dict[str, Sighting] = {}
        self.said: list[str] = []
        self._changed = asyncio.Event()

    def seen(self, sighting: Sighting) -> None:
        self.now[sighting.key] = sighting
        self.said.append(f"seen {sighting.name} {sighting.addresses[0][1]}")
        self._changed.set()

    def gone(self, key: str) -> None:
        self.said.append(f"gone {self.now.pop(key).name}")
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGING_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def names(self) -> list[str]:
        return sorted(sighting.name for sighting in self.now.values())


@asynccontextmanager
async def browsing(
    recorder: Recorder,
    types: Iterable[str],
    *,
    own_id: str = "",
    most: int = 512,
    addresses: Callable[[], Iterable[str]] = lambda: HERE,
    clock: Clock | None = None,
    interfaces: list[str] | None = HERE,
) -> AsyncIterator[MdnsBrowser]:
    browser = MdnsBrowser(
        recorder,
        clock or SystemClock(),
        types,
        own_id=own_id,
        most=most,
        interfaces=interfaces,
        addresses=addresses,
    )
    await browser.start()
    try:
        async with asyncio.timeout(HANGING_SECONDS):
            await browser.started.wait()
        yield browser
    finally:
        await browser.close()
        assert len(browser._tasks) == 0


async def test_a_service_is_seen_changed_and_gone(lan: Lan) -> None:
    recorder = Recorder()
    # One type without the dot at the end.
    async with announcing() as announcer, browsing(recorder, [lan.llm.rstrip("."), lan.ollama]):
        kitchen = lan.service("Küche 2.0", type="vllm", id="abc", path="/v1")
        await announce(announcer, kitchen)
        await recorder.until(lambda: recorder.names == ["Küche 2.0"])
        (sighting,) = recorder.now.values()
        assert sighting.addresses == (("127.0.0.1", 8000), ("::1", 8000))
        assert (sighting.server_id, sighting.path) == ("abc", "/v1")
        assert sighting.found_by == f"mDNS 'Küche 2.0' ({lan.llm.removesuffix('.local.')})"

        await (await announcer.async_update_service(lan.service("Küche 2.0", type="vllm", id="new")))
        await recorder.until(lambda: [s.server_id for s in recorder.now.values()] == ["new"])
        await (await announcer.async_unregister_service(kitchen))
        await recorder.until(lambda: not recorder.now)
        await announce(announcer, kitchen)
        await recorder.until(lambda: recorder.names == ["Küche 2.0"])


async def test_one_server_under_two_types_and_a_name_clash_are_told_apart(lan: Lan) -> None:
    recorder = Recorder()
    async with announcing() as one, announcing() as two, browsing(recorder, [lan.llm, lan.ollama]):
        await announce(one, lan.service("Box", id="a"), lan.service("Box", service_type=lan.ollama, id="a"))
        await hear(two, lan.llm, f"Box.{lan.llm}")
        await announce(two, lan.service("Box", 8001, host="other", id="b"))
        await recorder.until(lambda: len(recorder.now) == 3)
        assert {(s.name, s.server_id) for s in recorder.now.values()} == {("Box", "a"), ("Box-2", "b")}


async def test_what_was_there_before_is_found_too(lan: Lan) -> None:
    recorder = Recorder()
    async with announcing() as announcer:
        await announce(announcer, lan.service("Box"))
        async with browsing(recorder, [lan.llm]):
            await recorder.until(lambda: recorder.names == ["Box"])


async def test_the_announcement_of_this_gateway_is_not_reported(lan: Lan) -> None:
    recorder = Recorder()
    async with announcing() as announcer, browsing(recorder, [lan.llm], own_id="me"):
        await announce(announcer, lan.service("Me", id="me"), lan.service("Other", 8001, id="other"))
        await recorder.until(lambda: bool(recorder.now))
        assert recorder.names == ["Other"]


async def test_more_services_than_are_followed_are_one_warning(
    lan: Lan, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    async with announcing() as announcer, browsing(recorder, [lan.llm], most=1) as browser:
        await announce(announcer, lan.service("a"))
        await recorder.until(lambda: bool(recorder.now))
        await announce(announcer, lan.service("b"), lan.service("c"))
        async with asyncio.timeout(HANGING_SECONDS):
            while not browser.warnings:  # noqa: ASYNC110  # a warning is no event
                await asyncio.sleep(0.01)
        # The one that is followed is followed on.
        await (await announcer.async_update_service(lan.service("a", 8001)))
        await recorder.until(lambda: "seen a 8001" in recorder.said)
    assert recorder.names == ["a"]
    assert browser.warnings == ["more services are announced than are followed (1)"]
    assert [record.message for record in caplog.records] == browser.warnings


async def test_a_service_that_cannot_be_resolved_is_asked_for_again(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, clock = Recorder(), FakeClock()
    answered = asyncio.Event()
    real = AsyncServiceInfo.async_request
    asked = 0

    async def deaf(self: AsyncServiceInfo, *arguments: object) -> bool:
        nonlocal asked
        asked += 1
        try:
            return asked > 2 and await real(self, *arguments)  # type: ignore[arg-type]  # passed on
        finally:
            answered.set()

    monkeypatch.setattr(
        zeroconf.asyncio, "AsyncServiceInfo", type("Deaf", (AsyncServiceInfo,), {"async_request": deaf})
    )
    async with announcing() as announcer, browsing(recorder, [lan.llm], clock=clock):
        await announce(announcer, lan.service("Box"))
        async with asyncio.timeout(HANGING_SECONDS):
            while recorder.names != ["Box"]:
                await answered.wait()
                answered.clear()
                assert asked > 2 or not recorder.said
                await clock.advance(RETRY_CAP_SECONDS)
        assert asked > 2


async def test_bad_types_are_one_warning_and_the_good_one_is_browsed(lan: Lan) -> None:
    recorder = Recorder()
    async with (
        announcing() as announcer,
        browsing(recorder, ["nonsense", "_way-too-long-a-name._tcp.local", lan.llm]) as b,
    ):
        assert b.warnings == [
            "these are no mDNS service types and are left out: nonsense, _way-too-long-a-name._tcp.local"
        ]
        await announce(announcer, lan.service("Box"))
        await recorder.until(lambda: recorder.names == ["Box"])
    async with browsing(recorder, ["nonsense"]) as b:
        assert len(b.warnings) == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(19, "No such device", "0.0.0.0"), "No such device"),
        (OSError(), "the system refuses"),
        (RuntimeError("No interfaces to listen on, check that ..."), "no interface can be used"),
    ],
)
async def test_no_multicast_is_one_warning_with_the_way_round(
    lan: Lan, error: Exception, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: object) -> AsyncZeroconf:
        raise error

    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", refuse)
    clock = FakeClock()
    addresses = ["10.0.0.1"]
    async with browsing(Recorder(), [lan.llm], clock=clock, addresses=lambda: addresses) as browser:
        for number in range(5):
            addresses[:] = [f"10.0.0.{number}"]
            await clock.advance(LOOK_SECONDS)
    assert browser.warnings == [f"the network cannot be browsed by multicast ({why}): {WAY_ROUND}"]
    assert "[[backends]]" in WAY_ROUND
    assert "[discovery] peers" in WAY_ROUND
    assert [record.message for record in caplog.records] == browser.warnings


async def test_without_ipv6_there_is_still_ipv4(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[IPVersion] = []

    def no_ipv6(*, interfaces: list[str], ip_version: IPVersion) -> AsyncZeroconf:
        asked.append(ip_version)
        if ip_version is IPVersion.All:
            raise OSError("no IPv6")
        return AsyncZeroconf(interfaces=interfaces, ip_version=ip_version)

    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", no_ipv6)
    recorder = Recorder()
    async with announcing() as announcer, browsing(recorder, [lan.llm]) as browser:
        await announce(announcer, lan.service("Box"))
        await recorder.until(lambda: recorder.names == ["Box"])
    assert (asked, browser.warnings) == ([IPVersion.All, IPVersion.V4Only], [])


async def test_on_another_network_it_browses_anew_and_drops_what_is_not_there(
    lan: Lan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder, clock = Recorder(), LooksWhenTold()
    addresses = ["192.168.1.7", "::1"]
    async with (
        announcing() as announcer,
        browsing(recorder, [lan.llm], clock=clock, addresses=lambda: addresses),
    ):
        await announce(announcer, lan.service("Stays"), lan.service("Left behind", 8001, host="other"))
        await recorder.until(lambda: len(recorder.now) == 2)
        real = MdnsBrowser._changed

        def out_of_reach(self: MdnsBrowser, **change: Any) -> None:  # noqa: ANN401  # as zeroconf passes it
            if not change["name"].startswith("Left"):
                real(self, **change)

        monkeypatch.setattr(MdnsBrowser, "_changed", out_of_reach)
        addresses[:] = ["10.1.1.7"]
        recorder.said.clear()
        await clock.advance(LOOK_SECONDS)
        await recorder.until(lambda: "seen Stays 8000" in recorder.said)
        assert len(recorder.now) == 2
        await clock.advance(LOOK_SECONDS)
        assert recorder.names == ["Stays"]
        # An answer that comes in parts is told of more than once.
        assert set(recorder.said) == {"seen Stays 8000", "gone Left behind"}


async def test_closing_while_it_begins_leaves_nothing(lan: Lan) -> None:
    for turns in range(0, 40, 3):
        browser = MdnsBrowser(Recorder(), FakeClock(), [lan.llm], interfaces=HERE, addresses=lambda: HERE)
        await browser.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        await browser.close()
        assert browser.started.is_set()
        assert len(browser._tasks) == 0


def test_zeroconf_is_not_imported_before_browsing_starts() -> None:
    code = (
        "import sys, nexus.services.discovery.mdns, nexus.services.discovery.finds;"
        "sys.exit('zeroconf' in sys.modules)"
    )
    assert mdns.__file__
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANGING_SECONDS)
