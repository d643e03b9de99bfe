from __future__ import annotations

import ipaddress

import pytest

from nexus.services.discovery.places import THIS_COMPUTER, acceptable, place_of, preference

OWN = {"192.168.1.5", "fd00::1", "fe80::2%eth0"}


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("127.0.0.1", THIS_COMPUTER),
        ("::1", THIS_COMPUTER),
        ("localhost", THIS_COMPUTER),
        ("LOCALHOST.", THIS_COMPUTER),
        ("0.0.0.0", THIS_COMPUTER),
        ("::", THIS_COMPUTER),
        ("192.168.1.5", THIS_COMPUTER),
        ("::ffff:192.168.1.5", THIS_COMPUTER),
        ("::ffff:127.0.0.1", THIS_COMPUTER),
        ("fe80::2%eth0", THIS_COMPUTER),
        ("fe80::2%eth1", "fe80::2%eth1"),
        ("127.0.0.2", "127.0.0.2"),
        ("FD00:0::5", "fd00::5"),
        ("Box.LAN.", "box.lan"),
    ],
)
def test_one_place_has_one_spelling(host: str, place: str) -> None:
    assert place_of(host, 80, OWN.__contains__) == (place, 80)


@pytest.mark.parametrize(
    "host",
    ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.7.7", "fe80::1",
     "fe80::1%eth0", "fc00::1", "fdff::1", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_private_addresses_may_be_announced(host: str) -> None:
    assert acceptable(host, 8000, ())


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "172.32.0.1", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.251", "192.0.2.1",
     "::", "ff02::fb", "2606:4700::1", "::ffff:8.8.8.8", "169.254.169.254", "::ffff:169.254.169.254",
     "127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "169.254.170.2", "fd00:ec2::254", "box.local",
     "fd20:ce::254", "fe80::a9fe:a9fe%eth0", "localhost", "", "10.0.0.1/8"],
)  # fmt: skip
def test_everything_else_may_not(host: str) -> None:
    assert not acceptable(host, 8000, ())


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_is_one(port: int) -> None:
    assert not acceptable("10.0.0.1", port, ())


def test_further_networks_are_added_but_never_where_credentials_are_handed_out() -> None:
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    assert acceptable("8.8.8.8", 80, everything)
    assert acceptable("2606:4700::1", 80, everything)
    assert acceptable("127.0.0.1", 80, (ipaddress.ip_network("127.0.0.0/8"),))
    assert acceptable("10.0.0.1", 80, (ipaddress.ip_network("100.64.0.0/10"),))
    for host in ("169.254.169.254", "100.100.100.200", "fd20:ce::254", "64:ff9b::a9fe:a9fe"):
        assert not acceptable(host, 80, everything)


@pytest.mark.parametrize(
    ("host", "named"), [("127.0.0.1", "127.0.0.0/8"), ("127.0.0.2", "127.0.0.2/32"), ("::1", "::1/128"),
                        ("::ffff:127.0.0.1", "127.0.0.1/32")],
)  # fmt: skip
def test_loopback_is_accepted_only_by_its_own_name(host: str, named: str) -> None:
    assert acceptable(host, 80, (ipaddress.ip_network(named),))
    wide = ("0.0.0.0/0", "::/0", "0.0.0.0/1", "64.0.0.0/2")
    assert not acceptable(host, 80, tuple(ipaddress.ip_network(text) for text in wide))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.251", "ff02::fb"])
def test_what_is_no_computers_address_is_never_accepted(host: str) -> None:
    assert not acceptable(host, 80, (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")))


def test_ipv4_comes_before_ipv6_before_names() -> None:
    assert sorted(["box", "fe80::1%eth0", "10.0.0.1"], key=preference) == ["10.0.0.1", "fe80::1%eth0", "box"]
