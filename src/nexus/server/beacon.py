"""Being found: keeps what is announced of this Nexus true."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from nexus.config.load import Loaded
from nexus.services.advertise import Advertiser, Announcement
from nexus.tasks import Clock


class Beacon:
    """Announces this Nexus where the configuration asks for it.

    Args:
        gateway_id: the stable id.
        clock: the time.
        make: makes what keeps one announcement out.
    """

    def __init__(self, gateway_id: str, clock: Clock, make: Callable[..., Advertiser] = Advertiser) -> None:
        self._gateway_id = gateway_id
        self._clock = clock
        self._make = make
        self._bound: tuple[tuple[str, int], ...] = ()
        self._told: Announcement | None = None
        self._advertiser: Advertiser | None = None

    @property
    def advertiser(self) -> Advertiser | None:
        """What keeps the announcement out, or ``None``."""
        return self._advertiser

    def bind(self, bound: Iterable[tuple[str, int]]) -> None:
        """Take note of the listening sockets, by host and port."""
        self._bound = tuple(bound)

    async def follow(self, loaded: Loaded) -> None:
        """Announce what is true now, anew when it has changed, or nothing."""
        told = self._announcement(loaded) if loaded.config.discovery.advertise and self._bound else None
        if told == self._told:
            return
        await self.close()
        if told is not None:
            self._told = told
            hosts = (host for host, _ in self._bound)
            self._advertiser = self._make(told, hosts, clock=self._clock)
            self._advertiser.start()

    async def close(self) -> None:
        """Withdraw what is announced."""
        advertiser, self._advertiser, self._told = self._advertiser, None, None
        if advertiser is not None:
            await advertiser.close()

    def _announcement(self, loaded: Loaded) -> Announcement:
        return Announcement(
            host_name=socket.gethostname(),
            gateway_id=self._gateway_id,
            port=self._bound[0][1],
            keyed=bool(loaded.client_keys),
            tls=loaded.config.server.tls_cert is not None,
        )
