"""Browses the network for announced services (mDNS, RFC 6762; DNS-SD, RFC 6763).

Laws: no multicast is one warning with the way round, never a failure; zeroconf is imported when
browsing starts and on a thread, because that takes as long as the rest of Nexus; what a browser
says is resolved before it is reported, a bounded number of services at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from nexus.observe.events import EventLog
from nexus.services.discovery.announcements import key_of, read_announcement, service_type
from nexus.services.discovery.own_addresses import interface_addresses
from nexus.services.discovery.places import address_of
from nexus.services.discovery.sightings import Sightings
from nexus.tasks import Clock, TaskOwner

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

_log: Final = EventLog("discovery")

RESOLVE_MS: Final = 3000
RESOLVES_AT_ONCE: Final = 16
RETRY_SECONDS: Final = 5.0
RETRY_CAP_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 30.0
"""Between two looks whether this computer has other addresses: zeroconf does not look by itself."""

CLOSE_SECONDS: Final = 5.0

WAY_ROUND: Final = "name servers in [[backends]] or in [discovery] peers"


class MdnsBrowser:
    """Reports announced services to ``sightings``.

    Args:
        sightings: reported to.
        clock: the time between looks and between attempts.
        service_types: such as ``_llm._tcp.local``, with or without a dot at the end.
        own_id: what this gateway announces itself with; such services are not reported.
        most: services that are followed at a time.
        interfaces: addresses to browse on; ``None`` for every interface.
        addresses: gives the addresses of this computer, to notice that they have changed.

    Attributes:
        warnings: one sentence for each thing that does not work.
        started: set when browsing has begun, or cannot.
    """

    def __init__(
        self,
        sightings: Sightings,
        clock: Clock,
        service_types: Iterable[str],
        *,
        own_id: str = "",
        most: int = 512,
        interfaces: Sequence[str] | None = None,
        addresses: Callable[[], Iterable[str]] = interface_addresses,
    ) -> None:
        self._sightings = sightings
        self._clock = clock
        self._service_types = tuple(service_types)
        self._own_id = own_id
        self._most = most
        self._interfaces = interfaces
        self._addresses = addresses
        self._tasks = TaskOwner("mdns")
        self._resolves: dict[str, asyncio.Task[Any]] = {}
        self._again: set[str] = set()
        self._slots = asyncio.Semaphore(RESOLVES_AT_ONCE)
        self._round = 0
        self._main: asyncio.Task[Any] | None = None
        self._moved = asyncio.Event()
        self._closing = False
        self._reported: dict[str, int] = {}
        self.warnings: list[str] = []
        self.started = asyncio.Event()

    async def start(self) -> None:
        """Begin, without waiting for the network or for zeroconf's import."""
        self._main = self._tasks.spawn(self._run(), "browse")

    async def close(self) -> None:
        """Stop browsing; nothing is reported as gone."""
        self._closing = True
        self._moved.set()
        if self._main is not None:
            # zeroconf leaves sockets open when its start is cancelled, so it is let to its end.
            await asyncio.wait([self._main], timeout=CLOSE_SECONDS)
        await self._tasks.close()
        self.started.set()

    async def _run(self) -> None:
        await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")
        types = self._usable_types()
        while types and not self._closing:
            self._moved.clear()
            self._round += 1
            look = self._tasks.spawn(self._look(self._networks()), "look")
            zeroconf = self._connect()
            browser = None if zeroconf is None else self._browse(zeroconf, types)
            self.started.set()
            await self._moved.wait()
            look.cancel()
            self._forget_resolves()
            if zeroconf is not None and browser is not None:
                await _end(browser, zeroconf)
        self.started.set()

    def _usable_types(self) -> list[str]:
        types = {text: service_type(text) for text in self._service_types}
        if bad := [text for text, name in types.items() if name is None]:
            self._warn(f"these are no mDNS service types and are left out: {', '.join(bad)}")
        return list(dict.fromkeys(name for name in types.values() if name is not None))

    def _connect(self) -> AsyncZeroconf | None:
        from zeroconf import InterfaceChoice, IPVersion  # noqa: PLC0415  # see the module
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415  # see the module

        interfaces = InterfaceChoice.All if self._interfaces is None else list(self._interfaces)
        try:
            try:
                return AsyncZeroconf(interfaces=interfaces, ip_version=IPVersion.All)
            except OSError:
                # IPv6 is often switched off, on one interface or on all.
                return AsyncZeroconf(interfaces=interfaces, ip_version=IPVersion.V4Only)
        except (OSError, RuntimeError) as error:
            self._warn(f"the network cannot be browsed by multicast ({_trouble(error)}): {WAY_ROUND}")
            return None

    def _browse(self, zeroconf: AsyncZeroconf, types: list[str]) -> AsyncServiceBrowser:
        from zeroconf.asyncio import AsyncServiceBrowser  # noqa: PLC0415  # see the module

        return AsyncServiceBrowser(zeroconf.zeroconf, types, handlers=[self._changed])

    def _networks(self) -> frozenset[str]:
        """Return what tells that this computer is on another network: its IPv4 addresses."""
        try:
            hosts = {host: address_of(host) for host in self._addresses()}
        except OSError:
            # A sandbox may forbid to ask; then there is nothing to compare.
            return frozenset()
        return frozenset(host for host, address in hosts.items() if address and address.version == 4)

    async def _look(self, addresses: frozenset[str]) -> None:
        """Notice that this computer has moved to another network."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            # What the network that we left had, and this one has not.
            for name in [name for name, at in self._reported.items() if at < self._round]:
                self._gone(name)
            if self._networks() != addresses:
                self._moved.set()

    def _changed(
        self,
        zeroconf: Zeroconf,
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        """Take what zeroconf says; it passes exactly these names."""
        if state_change.name == "Removed":
            if (task := self._resolves.pop(name, None)) is not None:
                task.cancel()
            self._gone(name)
        elif name in self._resolves:
            self._again.add(name)
        elif name in self._reported or len(self._reported) + len(self._resolves) < self._most:
            task = self._tasks.spawn(self._resolve(zeroconf, service_type, name), f"resolve {name}")
            self._resolves[name] = task
            task.add_done_callback(lambda task: self._resolved(name, task))
        else:
            self._warn(f"more services are announced than are followed ({self._most})")

    async def _resolve(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415  # see the module

        pause = RETRY_SECONDS
        while True:
            self._again.discard(name)
            info = AsyncServiceInfo(service_type, name)
            async with self._slots:
                known = await info.async_request(zeroconf, RESOLVE_MS)
            if known:
                self._report(service_type, name, info)
                if name not in self._again:
                    return
            else:
                await self._clock.sleep(pause)
                pause = min(RETRY_CAP_SECONDS, pause * 2)

    def _report(self, service_type: str, name: str, info: Any) -> None:  # noqa: ANN401  # a Protocol at run time
        sighting = read_announcement(service_type, name, info)
        if self._own_id and sighting.server_id == self._own_id:
            self._gone(name)
            return
        self._reported[name] = self._round
        self._sightings.seen(sighting)

    def _resolved(self, name: str, task: asyncio.Task[Any]) -> None:
        if self._resolves.get(name) is task:
            del self._resolves[name]
            self._again.discard(name)

    def _forget_resolves(self) -> None:
        for task in self._resolves.values():
            task.cancel()
        self._resolves.clear()
        self._again.clear()

    def _gone(self, name: str) -> None:
        if self._reported.pop(name, None) is not None:
            self._sightings.gone(key_of(name))

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            _log.warning(sentence)


def _trouble(error: Exception) -> str:
    """Return the system's words; zeroconf's own are about settings that nobody has here."""
    if isinstance(error, OSError):
        return error.strerror or "the system refuses"
    return "no interface can be used"


async def _end(browser: AsyncServiceBrowser, zeroconf: AsyncZeroconf) -> None:
    from zeroconf import NotRunningException  # noqa: PLC0415  # see the module

    # A browser that is cancelled before its zeroconf has started cancels that start.
    with contextlib.suppress(NotRunningException):
        await zeroconf.zeroconf.async_wait_for_start()
    await browser.async_cancel()
    await zeroconf.async_close()
