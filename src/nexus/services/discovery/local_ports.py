"""The ports of this computer on which inference servers usually listen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from nexus.domain import DiscoverySource
from nexus.services.discovery.address_watch import AddressWatch, Pace, Surroundings, Target
from nexus.services.discovery.listen_watch import ListenWatch
from nexus.services.discovery.sightings import PORT_KEY, Sighting

PORTS: Final = (11434, 1234, 9931, 8080, 8000, 30000, 52415, 3000, 12434, 1337, 5001, 4891)
"""The defaults, in this order, of Ollama, LM Studio, its service, llama.cpp and LocalAI, vLLM,
SGLang, exo, text-generation-inference, Docker Model Runner, Jan, KoboldCpp and GPT4All."""

CONNECT_SECONDS: Final = 0.2
LOOPBACK: Final = ("127.0.0.1", "::1")

# Docker Model Runner has no API at the usual root.
_ROOTS: Final = {12434: "/engines/v1"}


class LocalPorts:
    """Looks at the usual ports of this computer, and of the one that runs this container.

    Two watches, so that a name server that does not answer for the container's host delays
    nothing on this computer. Where the system tells who listens, a port of this computer is
    looked at within seconds of its change.

    Args:
        around: what all watches share.
        every_seconds: between two looks.
        container_hosts: names and addresses of the computer that runs this container, if one does.
        ports: where to look.
    """

    def __init__(
        self,
        around: Surroundings,
        every_seconds: float,
        container_hosts: Sequence[str] = (),
        ports: Iterable[int] = PORTS,
    ) -> None:
        ports = tuple(ports)
        pace = Pace(every_seconds, CONNECT_SECONDS)
        here = (_target(LOOPBACK, port, "this computer") for port in ports)
        local = AddressWatch("local-ports", here, pace, around)
        self._watches = [local]
        self._changes = ListenWatch(ports, around.listeners, around.clock, every_seconds, local.look_soon)
        if container_hosts:
            outside = (_target(container_hosts, port, "this container's host") for port in ports)
            self._watches.append(AddressWatch("container-host", outside, pace, around))

    async def start(self) -> None:
        """Look now, and from now on."""
        # First, so that what changes during the first look is noticed.
        self._changes.start()
        for watch in self._watches:
            await watch.start()

    async def first_round(self) -> None:
        """Wait until the first look is over: the connects' time, and that of names in a container."""
        for watch in self._watches:
            await watch.first_round()

    async def close(self) -> None:
        """Stop looking."""
        await self._changes.close()
        for watch in self._watches:
            await watch.close()


def _target(hosts: Sequence[str], port: int, where: str) -> Target:
    sighting = Sighting(
        key=f"{PORT_KEY}{hosts[0]}:{port}",
        source=DiscoverySource.LOCAL,
        found_by=f"port {port} on {where}",
        addresses=tuple((host, port) for host in hosts),
        path=_ROOTS.get(port, ""),
    )
    return Target(sighting, private=True)
