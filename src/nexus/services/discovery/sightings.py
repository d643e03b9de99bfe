"""What a source of discovery says: there is a server, it is gone.

Law: a source only reports. Whether a sighting becomes a backend is decided in one place,
``finds.py``, which is why every source says the same few things in the same words.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from nexus.domain import DiscoverySource

PORT_KEY: Final = "port:"
"""How the key of a port begins that is looked at regularly."""


class Sighting(msgspec.Struct, frozen=True):
    """A server, as one source sees it now.

    Attributes:
        key: unique within all sources: ``port:127.0.0.1:11434``, ``env:OLLAMA_HOST``,
            ``peer:box:8000``, ``mdns:Kitchen._llm._tcp.local.``.
        source: what kind of source it was.
        found_by: where exactly, in a phrase for people.
        addresses: host (an address, or a name for the environment and peers) and port, the
            preferred one first; a link-local IPv6 address keeps its ``%scope``.
        name: a readable suggestion, may be empty.
        tls: whether it speaks TLS.
        path: a hint of the API's root, such as ``/v1``; empty for the default.
        server_id: equal for all sightings of one server; empty when nobody said.
    """

    key: str
    source: DiscoverySource
    found_by: str
    addresses: tuple[tuple[str, int], ...]
    name: str = ""
    tls: bool = False
    path: str = ""
    server_id: str = ""


class Sightings(Protocol):
    """Where sources report to. Both methods are synchronous and cheap."""

    def seen(self, sighting: Sighting) -> None:
        """Take note of a server, or of what changed about it."""
        ...

    def gone(self, key: str) -> None:
        """Take note that the source no longer sees it; unknown keys are ignored."""
        ...
