from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from tests.services.discovery.sockets import PATIENCE, address, close_all

from nexus.http.accept import bind
from nexus.http.resolve import Address
from nexus.services.discovery.knock import Answer, knock
from nexus.services.discovery.own_addresses import OwnAddresses, interface_addresses

INTERFACES = ("127.0.0.1", "::1", "192.168.1.7", "10.8.0.2", "fd00::7", "fe80::7%eth0")


def own(*bound: tuple[str, int], interfaces: Sequence[str] = INTERFACES) -> OwnAddresses:
    made = OwnAddresses(lambda: interfaces, lambda: "Kitchen.example.net")
    made.bind(bound)
    return made


class Names:
    """A resolver that knows a few names."""

    def __init__(self, **names: Sequence[str]) -> None:
        self._names = names

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [address(known, port) for known in self._names[host]]


EVERY_IPV4 = ("127.0.0.1", "127.3.2.1", "0.0.0.0", "192.168.1.7", "10.8.0.2", "::ffff:192.168.1.7")
EVERY_IPV6 = ("::1", "::", "fd00::7", "fe80::7", "fe80::7%eth0", "fe80::7%3")
OTHERS = ("192.168.1.8", "8.8.8.8", "fd00::8", "2001:db8::1", "fe80::8%eth0")


@pytest.mark.parametrize("host", [*EVERY_IPV4, "localhost", "LOCALHOST.", "api.localhost"])
def test_a_bind_to_every_address_is_reached_by_every_address(host: str) -> None:
    assert own(("0.0.0.0", 6398)).is_self(host, 6398)
    assert not own(("0.0.0.0", 6398)).is_self(host, 6399)


@pytest.mark.parametrize("host", [*EVERY_IPV6, "localhost"])
def test_so_is_one_to_every_ipv6_address(host: str) -> None:
    assert own(("::", 6398)).is_self(host, 6398)


@pytest.mark.parametrize("host", EVERY_IPV6)
def test_a_listener_on_ipv4_is_not_reached_by_ipv6(host: str) -> None:
    assert not own(("0.0.0.0", 6398)).is_self(host, 6398)


@pytest.mark.parametrize("host", EVERY_IPV4)
def test_a_listener_on_ipv6_is_not_reached_by_ipv4(host: str) -> None:
    assert not own(("::", 6398)).is_self(host, 6398)


@pytest.mark.parametrize("host", OTHERS)
def test_another_computer_is_not_this_one(host: str) -> None:
    assert not own(("0.0.0.0", 6398), ("::", 6398)).is_self(host, 6398)


def test_a_bind_to_one_address_is_reached_by_that_address_alone() -> None:
    loopback = own(("127.0.0.1", 8000))
    assert all(loopback.is_self(host, 8000) for host in ("127.0.0.1", "0.0.0.0", "localhost"))
    assert not any(loopback.is_self(host, 8000) for host in ("127.0.0.2", "192.168.1.7", "::1"))
    lan = own(("192.168.1.7", 8000))
    assert lan.is_self("192.168.1.7", 8000)
    assert not lan.is_self("127.0.0.1", 8000)


@pytest.mark.parametrize("host", ["kitchen.example.net", "KITCHEN.example.net.", "kitchen.local"])
def test_the_name_of_this_computer_is_known_without_asking(host: str) -> None:
    assert own(("0.0.0.0", 80)).is_self(host, 80)
    assert own(("192.168.1.7", 80)).is_self(host, 80)
    assert not own(("0.0.0.0", 80)).is_self("kitchen.example.org", 80)


@pytest.mark.parametrize("host", ["", ".", "not an address", "1.2.3", "%eth0", "\x00", "é" * 300])
def test_what_is_no_address_is_nobody(host: str) -> None:
    assert not own(("0.0.0.0", 80), ("::", 80)).is_self(host, 80)


def test_before_the_bind_nothing_is_us() -> None:
    assert not own().is_self("127.0.0.1", 6398)


def test_an_interface_that_came_later_is_ours_too() -> None:
    interfaces = ["127.0.0.1"]
    made = own(("0.0.0.0", 80), interfaces=interfaces)
    assert not made.is_self("10.0.0.9", 80)
    interfaces.append("10.0.0.9")
    assert made.is_self("10.0.0.9", 80)


def test_where_interfaces_may_not_be_listed_loopback_is_still_known() -> None:
    def refuse() -> tuple[str, ...]:
        raise PermissionError

    made = OwnAddresses(refuse, lambda: "")
    made.bind([("0.0.0.0", 80)])
    assert made.is_self("127.0.0.1", 80)
    assert not made.is_self("192.168.1.7", 80)


def test_interfaces_are_told_from_other_computers() -> None:
    made = own()
    assert all(made.is_interface(host) for host in (*EVERY_IPV4, *EVERY_IPV6))
    assert not any(made.is_interface(host) for host in (*OTHERS, "kitchen.local"))


async def test_a_name_leads_here_when_one_of_its_addresses_does() -> None:
    made = own(("0.0.0.0", 80))
    names = Names(gateway=("192.168.1.9", "192.168.1.7"), elsewhere=("192.168.1.9",))
    assert await made.leads_here("gateway", 80, names)
    assert await made.leads_here("127.0.0.1", 80, names)
    assert not await made.leads_here("gateway", 81, names)
    assert not await made.leads_here("elsewhere", 80, names)
    with pytest.raises(OSError, match="not known"):
        await made.leads_here("nowhere", 80, names)


def test_the_interfaces_of_this_machine_include_loopback() -> None:
    assert "127.0.0.1" in interface_addresses()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost"])
async def test_it_agrees_with_real_listeners(host: str) -> None:
    """Whatever reaches a listener that is bound as Nexus's own is, and nothing else, is us."""
    listeners = await bind(host, 0, 16)
    made = OwnAddresses()
    made.bind(listener.getsockname()[:2] for listener in listeners)
    port = listeners[0].getsockname()[1]
    everywhere = {"127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::", *interface_addresses()}
    plain = sorted(host for host in everywhere if not host.startswith("fe80"))
    asked = {host: address(host, port) for host in plain}
    answers = await asyncio.wait_for(knock(asked.values(), PATIENCE), PATIENCE)
    close_all(listeners)
    for text, target in asked.items():
        assert made.is_self(text, port) is (answers[target] is Answer.OPEN), text
