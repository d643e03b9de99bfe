"""Announces this Nexus on the network, so that others find it (DNS-SD, RFC 6763, over mDNS, RFC 6762).

Laws held here: what is announced can be reached and is true; keys and models never are; it is
withdrawn before the door closes; a network without multicast is a warning, never a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ipaddress
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import ifaddr
import msgspec

from nexus import __version__
from nexus.observe.events import EventLog
from nexus.tasks import Clock, TaskOwner

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

_log: Final = EventLog("advertise")

SERVICE_TYPE: Final = "_llm._tcp.local."
RECHECK_SECONDS: Final = 30.0
WITHDRAW_SECONDS: Final = 2.0
MAX_ADDRESSES: Final = 16
_LABEL_BYTES: Final = 63
_SUFFIX_BYTES: Final = 4
_VIRTUAL: Final = ("docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "podman", "lxcbr", "lxdbr")
"""Bridges inside a computer: others may have one with the same address, and would call themselves."""

OpenZeroconf = Callable[[], "AsyncZeroconf"]
Interface = tuple[str, str]
"""Name and address."""


class Announcement(msgspec.Struct, frozen=True):
    """What is told of this Nexus.

    Attributes:
        host_name: the computer's own name.
        gateway_id: the stable id.
        port: where it listens.
        keyed: clients must show a key.
        tls: it speaks TLS.
    """

    host_name: str
    gateway_id: str
    port: int
    keyed: bool = False
    tls: bool = False

    @property
    def instance(self) -> str:
        """The service's name, for people; short enough for a suffix against a name clash.

        A part of the id is in it: two that are announced at the same moment do not notice that
        they have one name, and computers that were installed alike have.
        """
        mark = f" {self.gateway_id[:4]}"
        room = _LABEL_BYTES - _SUFFIX_BYTES - len(mark)
        name = f"Nexus on {self.host_name.partition('.')[0]}"
        return name.encode()[:room].decode(errors="ignore") + mark

    @property
    def text(self) -> dict[str, str]:
        """The TXT record (RFC 6763 section 6): public, so neither keys nor models."""
        return {
            "txtvers": "1",
            "type": "nexus",
            "version": __version__,
            "path": "/v1",
            "auth": "bearer" if self.keyed else "none",
            "tls": "1" if self.tls else "0",
            "id": self.gateway_id,
        }


def interfaces() -> tuple[Interface, ...]:
    """Return the interfaces of this computer with their addresses, as they are now."""
    found = ((adapter.nice_name, ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return tuple((name, ip if isinstance(ip, str) else ip[0]) for name, ip in found)


def reachable(bound: Iterable[str], found: Iterable[Interface]) -> tuple[str, ...]:
    """Return the addresses under which others reach listening sockets.

    Args:
        bound: the address of each socket; an IPv6 one takes no IPv4 connections.
        found: the computer's interfaces.

    Returns:
        No loopback address; link-local ones last; those of bridges inside this computer only
        when there are no others.
    """
    rows = tuple(found)
    kept: dict[str, bool] = {}
    for text in bound:
        address = ipaddress.ip_address(text.partition("%")[0])
        if address.is_unspecified:
            same = [(name, host) for name, host in rows if (":" in host) == (address.version == 6)]
            kept |= {host.partition("%")[0]: name.startswith(_VIRTUAL) for name, host in same}
        else:
            kept[str(address)] = False
    usable = {host: virtual for host, virtual in kept.items() if _may_be_called(host)}
    real = [host for host, virtual in usable.items() if not virtual] or list(usable)
    return tuple(sorted(real, key=_is_link_local)[:MAX_ADDRESSES])


def _may_be_called(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return not (address.is_loopback or address.is_multicast or address.is_unspecified)


def _is_link_local(host: str) -> bool:
    return ipaddress.ip_address(host).is_link_local


def open_zeroconf() -> AsyncZeroconf:
    """Open sockets on every interface; IPv4 alone where IPv6 is not there.

    Raises:
        OSError: there is no multicast.
        RuntimeError: there is no interface.
    """
    from zeroconf import IPVersion  # noqa: PLC0415  # only who announces pays for it
    from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415  # the same

    try:
        return AsyncZeroconf(ip_version=IPVersion.All)
    except OSError:
        return AsyncZeroconf(ip_version=IPVersion.V4Only)


class Advertiser:
    """Keeps an announcement on the network from :meth:`start` to :meth:`close`.

    It follows the computer's addresses: a laptop that changes its network is announced anew.

    Args:
        announcement: what is told.
        bound: addresses of the listening sockets.
        clock: the time.
        open_zeroconf: opens the multicast sockets.
        interfaces: gives the computer's addresses.
        service_type: what others browse for, with the dot at its end.

    Attributes:
        published: set while the announcement is out.
        name: the full name of the service while it is, else empty.
    """

    def __init__(
        self,
        announcement: Announcement,
        bound: Iterable[str],
        *,
        clock: Clock,
        open_zeroconf: OpenZeroconf = open_zeroconf,
        interfaces: Callable[[], Iterable[Interface]] = interfaces,
        service_type: str = SERVICE_TYPE,
    ) -> None:
        self._announcement = announcement
        self._bound = tuple(bound)
        self._clock = clock
        self._open = open_zeroconf
        self._interfaces = interfaces
        self._service_type = service_type
        self._tasks = TaskOwner("advertise")
        self._starts = TaskOwner("advertise-start")
        self._starting: asyncio.Task[None] | None = None
        self._zeroconf: AsyncZeroconf | None = None
        self._doubt = ""
        self.published = asyncio.Event()
        self.name = ""

    def start(self) -> None:
        """Begin; announcing takes about a second and delays nothing."""
        self._tasks.spawn(self._run(), "run")

    async def close(self) -> None:
        """Withdraw the announcement; it takes two seconds at most."""
        await self._tasks.close()
        if self._starting is not None:
            await asyncio.wait((self._starting,), timeout=WITHDRAW_SECONDS)
        await self._withdraw()
        await self._starts.close()

    async def _run(self) -> None:
        # Its import takes as long as the rest of a start.
        await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")
        told: tuple[str, ...] | None = None
        while True:
            addresses = self._addresses()
            if addresses != told:
                await self._withdraw()
                told = addresses if await self._publish(addresses) else None
            await self._clock.sleep(RECHECK_SECONDS)

    def _addresses(self) -> tuple[str, ...]:
        try:
            return reachable(self._bound, self._interfaces())
        except OSError as error:
            self._warn(f"the addresses of this computer cannot be read: {error}")
            return ()

    async def _publish(self, addresses: tuple[str, ...]) -> bool:
        """Announce; return whether it is out, or there is nothing to try again for."""
        from zeroconf import Error  # noqa: PLC0415  # the same
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415  # the same

        if not addresses:
            self._warn("no address of this computer can be reached by others")
            return False
        told = self._announcement
        info = AsyncServiceInfo(
            self._service_type,
            f"{told.instance}.{self._service_type}",
            port=told.port,
            properties=told.text,
            server=f"nexus-{told.gateway_id}.local.",
            parsed_addresses=list(addresses),
        )
        try:
            self._zeroconf = self._open()
            # Who is cancelled while waiting for its start cancels that start, and then it leaves
            # sockets open; so a task of its own waits, which only close() ends.
            self._starting = self._starts.spawn(_started(self._zeroconf), "start")
            await asyncio.wait((self._starting,))
            await (await self._zeroconf.async_register_service(info, allow_name_change=True))
        except (OSError, RuntimeError, Error, TimeoutError) as error:
            self._warn(f"multicast does not work here: {error}")
            await self._withdraw()
            return False
        self._doubt = ""
        self.name = info.name
        self.published.set()
        _log.info("announced", name=info.name, addresses=", ".join(addresses), port=told.port)
        return True

    async def _withdraw(self) -> None:
        """Say goodbye and close; one that is cut short is done again by the next call."""
        self.published.clear()
        self.name = ""
        zeroconf = self._zeroconf
        if zeroconf is None:
            return
        try:
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await zeroconf.async_close()
        except TimeoutError:
            _log.warning("the announcement could not be withdrawn in time")
            zeroconf.zeroconf.close()
        self._zeroconf = None

    def _warn(self, reason: str) -> None:
        """Say once what is wrong, however often it is tried again."""
        if reason != self._doubt:
            self._doubt = reason
            _log.warning(
                "nothing is announced", reason=reason, instead="name it in discovery.peers of others"
            )


async def _started(zeroconf: AsyncZeroconf) -> None:
    from zeroconf import NotRunningException  # noqa: PLC0415  # the same

    # Registering says so, too, to the one who asked for it.
    with contextlib.suppress(NotRunningException):
        await zeroconf.zeroconf.async_wait_for_start()
