"""Which sightings are followed at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nexus.domain import DiscoverySource, replace
from nexus.http.metadata import is_metadata_address
from nexus.observe.events import EventLog
from nexus.services.discovery.places import Network, acceptable
from nexus.services.discovery.sightings import Sighting

_log: Final = EventLog("discovery")

WARNINGS: Final = 32
"""Announced servers that are left out with a line of their own in the log."""

SIGHTINGS_PER_BACKEND: Final = 8
"""Announcements that are followed at most, for each backend that may be added."""


class Intake:
    """Leaves out what nobody may send us to, and what is this very Nexus.

    Law: a flood of announcements is a bounded number of lines in the log, and of sightings.

    Args:
        allow: networks that announcements may name beside the private and link-local ones.
        max_backends: that discovery adds at most.
        is_self: whether a connection there would be one to this Nexus.
    """

    __slots__ = ("_allow", "_flooded", "_is_self", "_most", "_said")

    def __init__(
        self, allow: tuple[Network, ...], max_backends: int, is_self: Callable[[str, int], bool]
    ) -> None:
        self._allow = allow
        self._most = SIGHTINGS_PER_BACKEND * max_backends
        self._is_self = is_self
        self._said: set[tuple[str, str]] = set()
        self._flooded = False

    def accepted(self, sighting: Sighting) -> Sighting | None:
        """Return ``sighting`` with the addresses that may be asked; ``None`` when there are none."""
        addresses = sighting.addresses
        if sighting.source is DiscoverySource.MDNS:
            addresses = tuple(at for at in addresses if acceptable(*at, self._allow))
            if sighting.addresses and not addresses:
                self._left_out(sighting)
        addresses = tuple(at for at in addresses if not self._is_self(*at))
        return replace(sighting, addresses=addresses) if addresses else None

    def flooded(self, sighting: Sighting, followed: int) -> bool:
        """Tell whether ``sighting`` is one too many for the ``followed`` ones."""
        if sighting.source is not DiscoverySource.MDNS or followed < self._most:
            return False
        if not self._flooded:
            self._flooded = True
            _log.warning("more services are announced than are followed", followed=self._most)
        return True

    def _left_out(self, sighting: Sighting) -> None:
        """Say once why, for each announced name; addresses may change with every announcement."""
        hosts = [host for host, _ in sighting.addresses]
        far = next((host for host in hosts if not is_metadata_address(host)), "")
        event = "an announced server is left out, its network is not in [discovery] allow"
        if not far:
            event = "an announced server is left out, it would hand out a cloud's credentials"
        said = event, sighting.key
        if said in self._said or len(self._said) > WARNINGS:
            return
        self._said.add(said)
        if len(self._said) > WARNINGS:
            _log.warning("further announced servers are left out, and not named here", named=WARNINGS)
        else:
            _log.warning(event, found_by=sighting.found_by, address=far or hosts[0])
