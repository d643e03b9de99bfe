"""``discovery.peers``: servers on other computers that somebody named, where multicast does not reach."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nexus.config.url import parse_url
from nexus.domain import DiscoverySource
from nexus.services.discovery.address_watch import AddressWatch, Pace, Surroundings, Target
from nexus.services.discovery.sightings import Sighting

CONNECT_SECONDS: Final = 2.0
RESOLVE_SECONDS: Final = 2.0


class Peers(AddressWatch):
    """Looks at the peers of the configuration.

    Args:
        around: what all watches share.
        every_seconds: between two looks.
        peers: each as ``host:port``; one named twice is looked at once.

    Raises:
        ConfigError: one of them is no host and port.
    """

    def __init__(self, around: Surroundings, every_seconds: float, peers: Iterable[str]) -> None:
        targets = {target.sighting.key: target for target in map(_target, peers)}
        pace = Pace(every_seconds, CONNECT_SECONDS, RESOLVE_SECONDS)
        super().__init__("peers", targets.values(), pace, around)


def _target(peer: str) -> Target:
    url = parse_url(peer)
    shown = f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"
    return Target(
        Sighting(
            key=f"peer:{shown}",
            source=DiscoverySource.PEER,
            found_by=f"peer {shown}",
            addresses=((url.host, url.port),),
        )
    )
