"""Addresses at which clouds hand out credentials to whoever asks from inside.

Law: nobody makes Nexus ask one of them, not by its address, not by a name that leads to it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nexus.errors import Unprocessable
from nexus.http.resolve import Address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# AWS, Azure, GCP, OpenStack, DigitalOcean: .169.254; AWS: NTP, DNS, containers (.170.2, .170.23) and IPv6
# (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html); GCP's IPv6
# (https://cloud.google.com/compute/docs/metadata/querying-metadata); Alibaba; Oracle; Azure's wire server.
_NETWORKS: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.169.0/24", "169.254.170.0/24", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32",
        "fd00:ec2::/32", "fd20:ce::/32", "fe80::a9fe:a9fe/128",
    )
)  # fmt: skip
_NAMES: Final = frozenset({
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    "metadata.azure.internal", "metadata.tencentyun.com",
})  # fmt: skip
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_metadata_name(host: str) -> bool:
    """Tell whether a host name is known to lead to a cloud's metadata."""
    return host.lower().rstrip(".") in _NAMES


def is_metadata_address(text: str) -> bool:
    """Tell whether an IP address is a cloud's metadata service, also where IPv6 wraps an IPv4 one."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return any(one in network for one in _readings(address) for network in _NETWORKS)


async def refuse_metadata(host: str, port: int, resolve: Resolve) -> None:
    """Refuse a host that is, or leads to, a metadata service.

    A name that cannot be resolved passes: its server may be off, and then it is not asked.

    Args:
        host: a name or an address.
        port: for the look-up.
        resolve: finds the addresses of a name.

    Raises:
        Unprocessable: it does.
    """
    refused = is_metadata_name(host) or is_metadata_address(host)
    if not refused:
        try:
            found = await resolve(host, port)
        except OSError:
            return
        refused = any(is_metadata_address(str(address.target[0])) for address in found)
    if refused:
        raise Unprocessable(
            "This leads to a cloud's metadata service, which hands out credentials and serves no models. "
            "Give the address of an inference server.",
            param="url",
        )


def _readings(address: _Ip) -> tuple[_Ip, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or int(address) >> 32 == 0):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,) if inner is None else (address, inner)
