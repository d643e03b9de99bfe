"""Addresses at which clouds hand out credentials to whoever asks from inside.

Law: nobody makes Nexus connect to one of them, not by its address, not by a name that leads to it,
not by a name that has come to lead there since somebody gave it. This is the one list of them.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

# AWS, Azure, GCP, OpenStack, DigitalOcean: .169.254; AWS: NTP, DNS, containers (.170.2, .170.23) and IPv6
# (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html); Tencent; Alibaba;
# Oracle; Azure's wire server; GCP's IPv6
# (https://cloud.google.com/compute/docs/metadata/querying-metadata); link-local forms of the first.
METADATA: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.169.0/24", "169.254.170.0/24", "169.254.0.23/32", "100.100.100.200/32", "192.0.0.192/32",
        "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::/32", "fe80::a9fe:a9fe/128",
    )
)  # fmt: skip
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_metadata_address(text: str) -> bool:
    """Tell whether an IP address is a cloud's metadata service, also where IPv6 wraps an IPv4 one."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return any(one in network for one in _readings(address) for network in METADATA)


def _readings(address: _Ip) -> tuple[_Ip, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or int(address) >> 32 == 0):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,) if inner is None else (address, inner)
