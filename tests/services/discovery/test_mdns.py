"""Real zeroconf over real sockets on 127.0.0.1; only the faults are made up."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import zeroconf.asyncio
from tests.services.discovery.kit import FakeClock
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from nexus.services.discovery import mdns
from nexus.services.discovery.mdns import LOOK_SECONDS, WAY_ROUND, MdnsBrowser
from nexus.services.discovery.sightings import Sighting

HERE = ["127.0.0.1"]
LLM, OLLAMA = "_nxl._tcp.local.", "_nxo._tcp.local."


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
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def names(self) -> list[str]:
        return sorted(sighting.name for sighting in self.now.values())


@asynccontextmanager
async def browsing(
    recorder: Recorder,
    types: Iterable[str] = (LLM, OLLAMA),
    *,
    own_id: str = "",
    most: int = 512,
    addresses: Callable[[], Iterable[str]] = lambda: HERE,
    clock: FakeClock | None = None,
    interfaces: list[str] | None = HERE,
) -> AsyncIterator[MdnsBrowser]:
    browser = MdnsBrowser(
        recorder,
        clock or FakeClock(),
        types,
        own_id=own_id,
        most=most,
        interfaces=interfaces,
        addresses=addresses,
    )
    await browser.start()
    try:
        async with asyncio.timeout(30):
            await browser.started.wait()
        yield browser
    finally:
        await browser.close()
        assert len(browser._tasks) == 0


@asynccontextmanager
async def announcing() -> AsyncIterator[AsyncZeroconf]:
    announcer = AsyncZeroconf(interfaces=HERE, ip_version=IPVersion.All)
    try:
        yield announcer
    finally:
        await announcer.async_unregister_all_services()
        await announcer.async_close()


def service(
    name: str, port: int = 8000, service_type: str = LLM, host: str = "nxhost", **txt: str
) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        service_type,
        f"{name}.{service_type}",
        addresses=[socket.inet_aton("127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1")],
        port=port,
        properties=txt,
        server=f"{host}.local.",
    )


async def announce(announcer: AsyncZeroconf, *services: AsyncServiceInfo) -> None:
    for made in services:
        await (await announcer.async_register_service(made, allow_name_change=True))


async def test_a_service_is_seen_changed_and_gone() -> None:
    recorder = Recorder()
    # One type without the dot at the end.
    async with announcing() as announcer, browsing(recorder, [LLM.rstrip("."), OLLAMA]):
        kitchen = service("Küche 2.0", type="vllm", id="abc", path="/v1")
        await announce(announcer, kitchen)
        await recorder.until(lambda: recorder.names == ["Küche 2.0"])
        (sighting,) = recorder.now.values()
        assert sighting.addresses == (("127.0.0.1", 8000), ("::1", 8000))
        assert (sighting.server_id, sighting.type_hint, sighting.path) == ("abc", "vllm", "/v1")
        assert sighting.found_by == "mDNS 'Küche 2.0' (_nxl._tcp)"

        await (await announcer.async_update_service(service("Küche 2.0", type="vllm", id="new")))
        await recorder.until(lambda: [s.server_id for s in recorder.now.values()] == ["new"])
        await (await announcer.async_unregister_service(kitchen))
        await recorder.until(lambda: not recorder.now)
        await announce(announcer, kitchen)
        await recorder.until(lambda: recorder.names == ["Küche 2.0"])


async def test_one_server_under_two_types_and_a_name_clash_are_told_apart() -> None:
    recorder = Recorder()
    async with announcing() as one, announcing() as two, browsing(recorder):
        await announce(one, service("Box", id="a"), service("Box", service_type=OLLAMA, id="a"))
        await announce(two, service("Box", 8001, host="nxother", id="b"))
        await recorder.until(lambda: len(recorder.now) == 3)
        assert {(s.name, s.server_id) for s in recorder.now.values()} == {("Box", "a"), ("Box-2", "b")}


async def test_what_was_there_before_is_found_too() -> None:
    recorder = Recorder()
    async with announcing() as announcer:
        await announce(announcer, service("Box"))
        async with browsing(recorder):
            await recorder.until(lambda: recorder.names == ["Box"])


async def test_the_announcement_of_this_gateway_is_not_reported() -> None:
    recorder = Recorder()
    async with announcing() as announcer, browsing(recorder, own_id="me"):
        await announce(announcer, service("Me", id="me"), service("Other", 8001, id="other"))
        await recorder.until(lambda: bool(recorder.now))
        assert recorder.names == ["Other"]


async def test_more_services_than_are_followed_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    async with announcing() as announcer, browsing(recorder, most=1) as browser:
        await announce(announcer, service("a"))
        await recorder.until(lambda: bool(recorder.now))
        await announce(announcer, service("b"), service("c"))
        await announce(announcer, service("a", 8001))
        await recorder.until(lambda: any("8001" in line for line in recorder.said) or bool(browser.warnings))
    assert browser.warnings == ["more services are announced than are followed (1)"]
    assert [record.message for record in caplog.records] == browser.warnings


async def test_a_service_that_cannot_be_resolved_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, clock = Recorder(), FakeClock()
    asked = asyncio.Event()
    real = AsyncServiceInfo.async_request
    left = [2]

    async def deaf(self: AsyncServiceInfo, *arguments: object) -> bool:
        left[0] -= 1
        asked.set()
        return False if left[0] >= 0 else await real(self, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(
        zeroconf.asyncio, "AsyncServiceInfo", type("Deaf", (AsyncServiceInfo,), {"async_request": deaf})
    )
    async with announcing() as announcer, browsing(recorder, clock=clock):
        await announce(announcer, service("Box"))
        for _ in range(2):
            async with asyncio.timeout(30):
                await asked.wait()
            asked.clear()
            await clock.advance(12)
        await recorder.until(lambda: recorder.names == ["Box"])


async def test_bad_types_are_one_warning_and_the_good_one_is_browsed() -> None:
    recorder = Recorder()
    async with (
        announcing() as announcer,
        browsing(recorder, ["nonsense", "_way-too-long-a-name._tcp.local", LLM]) as b,
    ):
        assert b.warnings == [
            "these are no mDNS service types and are left out: nonsense, _way-too-long-a-name._tcp.local"
        ]
        await announce(announcer, service("Box"))
        await recorder.until(lambda: recorder.names == ["Box"])
    async with browsing(recorder, ["nonsense"]) as b:
        assert len(b.warnings) == 1


@pytest.mark.parametrize("error", [OSError("no multicast"), RuntimeError("no interface")])
async def test_no_multicast_is_one_warning_with_the_way_round(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: object) -> AsyncZeroconf:
        raise error

    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", refuse)
    clock = FakeClock()
    addresses = ["10.0.0.1"]
    async with browsing(Recorder(), clock=clock, addresses=lambda: addresses) as browser:
        for number in range(5):
            addresses[:] = [f"10.0.0.{number}"]
            await clock.advance(LOOK_SECONDS)
    assert browser.warnings == [f"the network cannot be browsed by multicast ({error}): {WAY_ROUND}"]
    assert "[[backends]]" in WAY_ROUND
    assert "[discovery] peers" in WAY_ROUND
    assert [record.message for record in caplog.records] == browser.warnings


async def test_without_ipv6_there_is_still_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[IPVersion] = []

    def no_ipv6(*, interfaces: list[str], ip_version: IPVersion) -> AsyncZeroconf:
        asked.append(ip_version)
        if ip_version is IPVersion.All:
            raise OSError("no IPv6")
        return AsyncZeroconf(interfaces=interfaces, ip_version=ip_version)

    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", no_ipv6)
    recorder = Recorder()
    async with announcing() as announcer, browsing(recorder) as browser:
        await announce(announcer, service("Box"))
        await recorder.until(lambda: recorder.names == ["Box"])
    assert (asked, browser.warnings) == ([IPVersion.All, IPVersion.V4Only], [])


async def test_on_another_network_it_browses_anew_and_drops_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder, clock = Recorder(), FakeClock()
    addresses = ["192.168.1.7", "::1"]
    async with announcing() as announcer, browsing(recorder, clock=clock, addresses=lambda: addresses):
        await announce(announcer, service("Stays"), service("Left behind", 8001, host="nxother"))
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
        assert recorder.said == ["seen Stays 8000", "gone Left behind"]


async def test_closing_while_it_begins_leaves_nothing() -> None:
    for turns in range(0, 40, 3):
        browser = MdnsBrowser(Recorder(), FakeClock(), [LLM], interfaces=HERE, addresses=lambda: HERE)
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
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
