"""Where a server listens, in one spelling, and which places an unasked announcement may name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

from nexus.http.metadata import is_metadata_address

Place = tuple[str, int]
"""Host and port; places are equal when the same listener answers there."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

THIS_COMPUTER: Final = "localhost"
"""The one spelling of every address of this computer."""

LOCAL_NETWORKS: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "fe80::/10",
        "fc00::/7",
    )
)
"""Private (RFC 1918), link-local (RFC 3927, 4291), unique local (RFC 4193).

Loopback is none of them: whoever announces it would send us to our own doors, which nobody else
on the network reaches, and what listens there is found by its port.
"""


def address_of(host: str) -> Address | None:
    """Return ``host`` as an address, an IPv4 one out of its IPv6 form; ``None`` for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def place_of(host: str, port: int, is_own: Callable[[str], bool]) -> Place:
    """Return the place under which ``host`` and ``port`` are compared.

    Args:
        host: an address or a name.
        port: of the listener.
        is_own: whether an address is one of this computer's interfaces.
    """
    address = address_of(host)
    if address is None:
        return host.lower().rstrip("."), port
    text = str(address)
    if address.is_loopback:
        # The others of 127.0.0.0/8 are places of their own, where other servers may listen.
        return (THIS_COMPUTER if text in ("127.0.0.1", "::1") else text), port
    return (THIS_COMPUTER if address.is_unspecified or is_own(text) else text), port


def acceptable(host: str, port: int, further: Iterable[Network]) -> bool:
    """Tell whether somebody on the network may send us to ``host`` and ``port``.

    Args:
        host: must be an address: a name could lead anywhere, and elsewhere a moment later.
        port: 1 to 65535.
        further: networks that the operator allows beside :data:`LOCAL_NETWORKS`. Whoever allows
            every network does not mean this computer: loopback has to be named itself.
    """
    address = address_of(host)
    if address is None or not 0 < port < 65536 or is_metadata_address(host):
        return False
    if address.is_unspecified or address.is_multicast:
        return False
    networks = (*LOCAL_NETWORKS, *further)
    return any(
        address in network and (network.is_loopback or not address.is_loopback) for network in networks
    )


def preference(host: str) -> int:
    """Return a rank, lower first: IPv4, then IPv6, then names, which many hosts do not resolve."""
    address = address_of(host)
    if address is None:
        return 2
    return 0 if address.version == 4 else 1
