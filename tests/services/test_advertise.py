from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
from collections.abc import AsyncIterator, Callable

import pytest
from tests.services.discovery.sockets import open_files
from tests.support.multicast import HANGING_SECONDS, hear, own_service_type
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from nexus.services.advertise import MAX_ADDRESSES, Advertiser, Announcement, reachable
from nexus.tasks import SystemClock

LOOPBACK = "127.0.0.1"
LAN = [
    ("lo", "127.0.0.1"),
    ("lo", "::1"),
    ("docker0", "172.17.0.1"),
    ("wlan0", "169.254.7.7"),
    ("eth0", "192.168.1.5"),
    ("eth0", "fe80::1%eth0"),
    ("eth0", "fd00::5"),
]


pytestmark = pytest.mark.timeout(3 * HANGING_SECONDS)

HOST = "kitchen"


class Listener:
    """What a neighbour hears of this test: loopback multicast is shared by every process of this computer."""

    def __init__(self) -> None:
        self.service_type = own_service_type()
        self.id = os.urandom(8).hex()
        self.name = f"Nexus on {HOST} {self.id[:4]}.{self.service_type}"
        self.heard: dict[str, bool] = {}
        self._changed = asyncio.Event()

    def change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type
        self.heard[name] = state_change is not ServiceStateChange.Removed
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGING_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def names(self) -> set[str]:
        return {name for name, there in self.heard.items() if there}


@pytest.fixture
async def neighbour() -> AsyncIterator[tuple[AsyncZeroconf, Listener]]:
    zeroconf, listener = AsyncZeroconf(interfaces=[LOOPBACK]), Listener()
    browser = AsyncServiceBrowser(zeroconf.zeroconf, [listener.service_type], handlers=[listener.change])
    yield zeroconf, listener
    await browser.async_cancel()
    await zeroconf.async_close()


def advertiser(
    listener: Listener,
    open_zeroconf: Callable[[], AsyncZeroconf] = lambda: AsyncZeroconf(interfaces=[LOOPBACK]),
) -> Advertiser:
    return Advertiser(
        Announcement(f"{HOST}.test", listener.id, 6398, keyed=True, tls=False),
        ("0.0.0.0",),
        clock=SystemClock(),
        open_zeroconf=open_zeroconf,
        interfaces=lambda: LAN,
        service_type=listener.service_type,
    )


async def test_a_neighbour_hears_what_is_true_and_hears_the_end(
    neighbour: tuple[AsyncZeroconf, Listener],
) -> None:
    zeroconf, listener = neighbour
    running = advertiser(listener)
    running.start()
    await listener.until(lambda: listener.name in listener.names())
    info = AsyncServiceInfo(listener.service_type, listener.name)
    assert await info.async_request(zeroconf.zeroconf, HANGING_SECONDS * 1000)
    assert info.port == 6398
    assert set(info.parsed_addresses(IPVersion.All)) == {"192.168.1.5", "169.254.7.7"}
    properties = info.decoded_properties
    assert properties.pop("version")
    assert properties == {
        "txtvers": "1",
        "type": "nexus",
        "path": "/v1",
        "auth": "bearer",
        "tls": "0",
        "id": listener.id,
    }
    await running.close()
    await listener.until(lambda: not listener.names())
    assert not running.published.is_set()
    await running.close()


async def test_a_taken_name_gets_a_suffix(neighbour: tuple[AsyncZeroconf, Listener]) -> None:
    _, listener = neighbour
    hearing = AsyncZeroconf(interfaces=[LOOPBACK])
    first, second = advertiser(listener), advertiser(listener, lambda: hearing)
    first.start()
    # A neighbour answers a probe only some time after it has spoken by itself.
    await hear(hearing, listener.service_type, listener.name)
    second.start()
    await listener.until(lambda: len(listener.names()) == 2)
    instance = listener.name.removesuffix(f".{listener.service_type}")
    assert listener.names() == {listener.name, f"{instance}-2.{listener.service_type}"}
    await second.close()
    await first.close()


async def test_a_close_in_the_middle_of_announcing_leaves_nothing() -> None:
    running = advertiser(Listener())
    running.start()
    await asyncio.sleep(0)
    await running.close()
    assert running.name == ""


@pytest.mark.parametrize("turns", range(6))
async def test_a_close_while_zeroconf_starts_leaves_no_socket(
    turns: int, recwarn: pytest.WarningsRecorder
) -> None:
    await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")
    before, opened = open_files(), asyncio.Event()

    def opening() -> AsyncZeroconf:
        opened.set()
        return AsyncZeroconf(interfaces=[LOOPBACK])

    async def owner() -> None:
        """Ends as the whole process may end: closing while it is cancelled itself."""
        running = advertiser(Listener(), opening)
        running.start()
        try:
            await asyncio.Event().wait()
        finally:
            await running.close()

    task = asyncio.ensure_future(owner())
    await opened.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    assert open_files() > before
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    await asyncio.sleep(0)
    gc.collect()
    assert open_files() == before
    assert not recwarn.list


class Ticks(SystemClock):
    """A clock whose sleepers wake when told."""

    def __init__(self) -> None:
        self.due = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        del seconds
        await self.due.wait()
        self.due.clear()


async def test_new_addresses_are_announced_anew(neighbour: tuple[AsyncZeroconf, Listener]) -> None:
    zeroconf, listener = neighbour
    clock, there = Ticks(), [("eth0", "192.168.1.5")]
    running = Advertiser(
        Announcement(HOST, listener.id, 6398),
        ["0.0.0.0"],
        clock=clock,
        open_zeroconf=lambda: AsyncZeroconf(interfaces=[LOOPBACK]),
        interfaces=lambda: there,
        service_type=listener.service_type,
    )
    running.start()
    await running.published.wait()
    there[:] = [("wlan0", "10.0.0.9")]
    clock.due.set()
    async with asyncio.timeout(HANGING_SECONDS):
        addresses: list[str] = []
        while addresses != ["10.0.0.9"]:
            info = AsyncServiceInfo(listener.service_type, listener.name)
            await info.async_request(zeroconf.zeroconf, 500)
            await asyncio.sleep(0.01)
            addresses = info.parsed_addresses()
    there.clear()
    clock.due.set()
    await listener.until(lambda: not listener.names())
    await running.close()


def _no_multicast() -> AsyncZeroconf:
    raise OSError(19, "No such device")


async def test_no_multicast_is_one_warning_and_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    clock = Ticks()
    running = Advertiser(
        Announcement(HOST, "a" * 16, 6398),
        ["0.0.0.0"],
        clock=clock,
        open_zeroconf=_no_multicast,
        interfaces=lambda: LAN,
    )
    running.start()
    for _ in range(5):
        clock.due.set()
        async with asyncio.timeout(HANGING_SECONDS):
            while clock.due.is_set():  # noqa: ASYNC110  # cleared by the sleeper that it wakes
                await asyncio.sleep(0)
    await running.close()
    assert [record.getMessage() for record in caplog.records] == ["nothing is announced"]


async def test_no_address_is_one_warning_until_there_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    clock, listener = Ticks(), Listener()
    there = [("lo", "127.0.0.1")]
    running = Advertiser(
        Announcement(HOST, listener.id, 6398),
        ["0.0.0.0"],
        clock=clock,
        open_zeroconf=lambda: AsyncZeroconf(interfaces=[LOOPBACK]),
        interfaces=lambda: there,
        service_type=listener.service_type,
    )
    running.start()
    for _ in range(3):
        clock.due.set()
        async with asyncio.timeout(HANGING_SECONDS):
            while clock.due.is_set():  # noqa: ASYNC110  # cleared by the sleeper that it wakes
                await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.getMessage() == "nothing is announced"
    assert "no address" in record.nexus_fields["reason"]  # type: ignore[attr-defined]
    assert not running.published.is_set()
    there.append(("eth0", "192.168.1.5"))
    clock.due.set()
    async with asyncio.timeout(HANGING_SECONDS):
        await running.published.wait()
    await running.close()


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (["0.0.0.0"], ("192.168.1.5", "169.254.7.7")),
        (["::"], ("fd00::5", "fe80::1")),
        (["0.0.0.0", "::"], ("192.168.1.5", "fd00::5", "169.254.7.7", "fe80::1")),
        (["192.168.1.5"], ("192.168.1.5",)),
        (["172.17.0.1"], ("172.17.0.1",)),
        (["127.0.0.1"], ()),
        (["127.0.1.1", "::1"], ()),
        ([], ()),
    ],
)
def test_what_is_announced_can_be_reached(bound: list[str], expected: tuple[str, ...]) -> None:
    assert reachable(bound, LAN) == expected


def test_a_bridge_is_announced_where_there_is_nothing_else() -> None:
    assert reachable(["0.0.0.0"], [("lo", "127.0.0.1"), ("docker0", "172.17.0.1")]) == ("172.17.0.1",)
    many = [("eth0", f"10.0.0.{number}") for number in range(1, 100)]
    assert len(reachable(["0.0.0.0"], many)) == MAX_ADDRESSES


@pytest.mark.parametrize("host", ["x" * 64, "ü" * 40, "kitchen", "a.b.c"])
def test_a_name_fits_and_leaves_room_for_a_suffix(host: str) -> None:
    name = Announcement(host, "a" * 16, 6398).instance
    assert name.startswith("Nexus on ")
    assert name.endswith(" aaaa")
    assert len(name.encode()) <= 59
    assert "." not in name
