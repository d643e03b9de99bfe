"""Which sightings are followed at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from nexus.domain import DiscoverySource
from nexus.observe.events import EventLog
from nexus.services.discovery.places import Network, acceptable
from nexus.services.discovery.sightings import Sighting

_log: Final = EventLog("discovery")

SIGHTINGS_PER_BACKEND: Final = 8
"""Announcements that are followed at most, for each backend that may be added."""


class Intake:
    """Leaves out what nobody may send us to, and what is this very Nexus.

    Law: a flood of announcements is one line in the log and a bounded number of sightings.

    Args:
        allow: networks that announcements may name beside the private and link-local ones.
        max_backends: that discovery adds at most.
        is_self: whether a connection there would be one to this Nexus.
    """

    __slots__ = ("_allow", "_is_self", "_most", "_said")

    def __init__(
        self, allow: tuple[Network, ...], max_backends: int, is_self: Callable[[str, int], bool]
    ) -> None:
        self._allow = allow
        self._most = SIGHTINGS_PER_BACKEND * max_backends
        self._is_self = is_self
        self._said: set[str] = set()

    def accepted(self, sighting: Sighting) -> Sighting | None:
        """Return ``sighting`` with the addresses that may be asked; ``None`` when there are none."""
        addresses = sighting.addresses
        if sighting.source is DiscoverySource.MDNS:
            addresses = tuple(at for at in addresses if acceptable(*at, self._allow))
            if sighting.addresses and not addresses:
                self._say(
                    "an announced server is left out, its network is not in [discovery] allow",
                    found_by=sighting.found_by,
                    address=sighting.addresses[0][0],
                )
        addresses = tuple(at for at in addresses if not self._is_self(*at))
        return msgspec.structs.replace(sighting, addresses=addresses) if addresses else None

    def flooded(self, sighting: Sighting, followed: int) -> bool:
        """Tell whether ``sighting`` is one too many for the ``followed`` ones."""
        if sighting.source is not DiscoverySource.MDNS or followed < self._most:
            return False
        self._say("more services are announced than are followed", followed=self._most)
        return True

    def _say(self, event: str, **fields: object) -> None:
        if event not in self._said:
            self._said.add(event)
            _log.warning(event, **fields)
