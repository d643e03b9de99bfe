"""What an mDNS announcement says, read with mistrust.

Everything in it is a hint that is verified over HTTP; nothing in it sets a priority, a key or a
type (RFC 6762 section 21: anybody on the link may say anything).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from nexus.domain import DiscoverySource
from nexus.observe.text import printable
from nexus.services.discovery.sightings import Sighting

MAX_TEXT: Final = 128
_YES: Final = frozenset({"1", "true", "yes", "on"})
_DOMAIN: Final = ".local"
_SERVICE_TYPE: Final = re.compile(
    r"_(?=[a-z0-9-]*[a-z])(?!-)(?:[a-z0-9]|-(?!-)){1,15}(?<!-)\._(?:tcp|udp)\.local\.", re.ASCII
)
"""RFC 6335 section 5.1: 1 to 15 letters, digits and single hyphens inside, one letter at least."""


class ServiceInfo(Protocol):
    """The part of zeroconf's ``ServiceInfo`` that is read."""

    @property
    def port(self) -> int | None:
        """Of the SRV record."""
        ...

    @property
    def decoded_properties(self) -> Mapping[str, str | None]:
        """The TXT record; a key without ``=`` has no value."""
        ...

    def parsed_scoped_addresses(self) -> Sequence[str]:
        """Return IPv4 addresses, then IPv6 ones; link-local ones with their scope."""
        ...


def service_type(text: str) -> str | None:
    """Return a service type as DNS-SD writes it, with a dot at the end; ``None`` when it is none."""
    name = f"{text.strip().rstrip('.').lower()}."
    return name if _SERVICE_TYPE.fullmatch(name) else None


def key_of(name: str) -> str:
    """Return the key of the service ``name``: DNS compares names without case (RFC 6762 section 16)."""
    return f"mdns:{name.lower()}"


def read_announcement(of_type: str, name: str, info: ServiceInfo) -> Sighting:
    """Read a resolved service.

    Args:
        of_type: such as ``_llm._tcp.local.``
        name: of the instance, with its type.
        info: its records.

    Returns:
        The sighting; without addresses when there is nothing to connect to.
    """
    instance = printable(name.removesuffix(of_type).rstrip("."))[:MAX_TEXT]
    # RFC 6763 section 6.4: case is ignored, and the first of a key counts.
    txt: dict[str, str] = {}
    for key, value in info.decoded_properties.items():
        txt.setdefault(key.lower(), printable(value or "").strip()[:MAX_TEXT])
    port = info.port or 0
    return Sighting(
        key=key_of(name),
        source=DiscoverySource.MDNS,
        found_by=f"mDNS '{instance}' ({of_type.rstrip('.').removesuffix(_DOMAIN)})",
        addresses=tuple((host, port) for host in info.parsed_scoped_addresses()) if port else (),
        name=instance,
        tls=txt.get("tls", "").lower() in _YES,
        path=txt.get("path") or txt.get("api_path") or "",
        server_id=txt.get("id", ""),
    )
