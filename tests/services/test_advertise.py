from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable

import pytest
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from nexus.services.advertise import MAX_ADDRESSES, SERVICE_TYPE, Advertiser, Announcement, reachable
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


# Loopback multicast is shared by every test process of this computer.
HOST = f"kitchen-{os.urandom(4).hex()}"
ID = os.urandom(8).hex()
NAME = f"Nexus on {HOST} {ID[:4]}.{SERVICE_TYPE}"


class Listener:
    """What a neighbour hears of this test."""

    def __init__(self) -> None:
        self.heard: dict[str, bool] = {}
        self._changed = asyncio.Event()

    def change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type
        if HOST not in name:
            return
        self.heard[name] = state_change is not ServiceStateChange.Removed
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def names(self) -> set[str]:
        return {name for name, there in self.heard.items() if there}


@pytest.fixture
async def neighbour() -> AsyncIterator[tuple[AsyncZeroconf, Listener]]:
    zeroconf, listener = AsyncZeroconf(interfaces=[LOOPBACK]), Listener()
    browser = AsyncServiceBrowser(zeroconf.zeroconf, [SERVICE_TYPE], handlers=[listener.change])
    yield zeroconf, listener
    await browser.async_cancel()
    await zeroconf.async_close()


def advertiser(
    gateway_id: str = ID,
    *,
    bound: tuple[str, ...] = ("0.0.0.0",),
    interfaces: Callable[[], list[tuple[str, str]]] = lambda: LAN,
    open_zeroconf: Callable[[], AsyncZeroconf] = lambda: AsyncZeroconf(interfaces=[LOOPBACK]),
    keyed: bool = True,
) -> Advertiser:
    told = Announcement(f"{HOST}.test", gateway_id, 6398, keyed=keyed, tls=False)
    return Advertiser(told, bound, clock=SystemClock(), open_zeroconf=open_zeroconf, interfaces=interfaces)


async def test_a_neighbour_hears_what_is_true_and_hears_the_end(
    neighbour: tuple[AsyncZeroconf, Listener],
) -> None:
    zeroconf, listener = neighbour
    running = advertiser()
    running.start()
    await listener.until(lambda: NAME in listener.names())
    info = AsyncServiceInfo(SERVICE_TYPE, NAME)
    assert await info.async_request(zeroconf.zeroconf, 10_000)
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
        "id": ID,
    }
    await running.close()
    await listener.until(lambda: not listener.names())
    assert not running.published.is_set()
    await running.close()


async def test_a_taken_name_gets_a_suffix(neighbour: tuple[AsyncZeroconf, Listener]) -> None:
    _, listener = neighbour
    hearing = AsyncZeroconf(interfaces=[LOOPBACK])
    await hearing.zeroconf.async_wait_for_start()
    first, second = advertiser(), advertiser(open_zeroconf=lambda: hearing)
    first.start()
    async with asyncio.timeout(20):
        # A neighbour answers a probe only some time after it has spoken by itself.
        while not hearing.zeroconf.cache.current_entry_with_name_and_alias(SERVICE_TYPE, NAME):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
    second.start()
    await listener.until(lambda: len(listener.names()) == 2)
    assert listener.names() == {NAME, NAME.replace(f".{SERVICE_TYPE}", f"-2.{SERVICE_TYPE}")}
    await second.close()
    await first.close()


async def test_a_close_in_the_middle_of_announcing_leaves_nothing() -> None:
    running = advertiser()
    running.start()
    await asyncio.sleep(0)
    await running.close()
    assert running.name == ""


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
        Announcement(HOST, ID, 6398),
        ["0.0.0.0"],
        clock=clock,
        open_zeroconf=lambda: AsyncZeroconf(interfaces=[LOOPBACK]),
        interfaces=lambda: there,
    )
    running.start()
    await running.published.wait()
    there[:] = [("wlan0", "10.0.0.9")]
    clock.due.set()
    async with asyncio.timeout(20):
        addresses: list[str] = []
        while addresses != ["10.0.0.9"]:
            info = AsyncServiceInfo(SERVICE_TYPE, NAME)
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
        Announcement(HOST, ID, 6398),
        ["0.0.0.0"],
        clock=clock,
        open_zeroconf=_no_multicast,
        interfaces=lambda: LAN,
    )
    running.start()
    for _ in range(5):
        clock.due.set()
        async with asyncio.timeout(20):
            while clock.due.is_set():  # noqa: ASYNC110  # cleared by the sleeper that it wakes
                await asyncio.sleep(0)
    await running.close()
    assert [record.getMessage() for record in caplog.records] == ["nothing is announced"]


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
