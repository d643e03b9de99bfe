"""Discovery as a whole: its sources, and what becomes of what they see."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from nexus.config.schema import DiscoveryConfig
from nexus.domain import DiscoverySource
from nexus.http.resolve import SystemResolver
from nexus.observe.events import EventLog
from nexus.registry.registry import Registry
from nexus.services.discovery.address_watch import Surroundings
from nexus.services.discovery.asking import Examine
from nexus.services.discovery.container import bridge_gateway, container_hosts
from nexus.services.discovery.environment import EnvironmentAddresses, Mention, read_environment
from nexus.services.discovery.finds import Finds
from nexus.services.discovery.intake import SIGHTINGS_PER_BACKEND
from nexus.services.discovery.listeners import listening_sockets
from nexus.services.discovery.local_ports import PORTS, LocalPorts
from nexus.services.discovery.lookups import HostResolver
from nexus.services.discovery.mdns import WAY_ROUND, MdnsBrowser
from nexus.services.discovery.own_addresses import OwnAddresses
from nexus.services.discovery.peers import Peers
from nexus.services.discovery.roster import Forget, Register
from nexus.services.discovery.tools import FindsSettings, FindsTools
from nexus.tasks import Clock, TaskOwner

_log: Final = EventLog("discovery")

FIRST_ROUND_SECONDS: Final = 2.5
OWN_SECONDS: Final = 10.0
"""How long an answer about this computer's interfaces holds."""


class Source(Protocol):
    """Reports sightings from its start to its close."""

    async def start(self) -> None:
        """Begin; it waits for nothing outside of this process."""
        ...

    async def close(self) -> None:
        """End; nothing is reported as gone."""
        ...


class DiscoveryTools(msgspec.Struct, frozen=True):
    """What discovery works with.

    Attributes:
        registry: read, and asked for checks.
        examine: says what answers at a specification's origin, within a few seconds; ``None``
            when nothing does. Its requests carry this gateway's id.
        register: makes a backend of a specification, or gives a known one (same id) a new one,
            with what follows from the verdict's type, and has it checked at once.
        forget: removes a backend that nothing has seen for the grace period, whether it is
            still there or not; requests that it runs end as usual.
        clock: the time.
        environ: the environment.
        gateway_id: what this gateway announces itself with.
        own: the addresses of this Nexus; a test brings its own.
        ports: of this computer, to look at.
        interfaces: addresses to browse mDNS on; ``None`` for every interface.
    """

    registry: Registry
    examine: Examine
    register: Register
    forget: Forget
    clock: Clock
    environ: Mapping[str, str]
    gateway_id: str
    own: OwnAddresses = msgspec.field(default_factory=OwnAddresses)
    ports: Sequence[int] = PORTS
    interfaces: Sequence[str] | None = None


class Discovery:
    """Finds backends from :meth:`start` to :meth:`close`.

    Use: make it with the registry, :meth:`start` it once Nexus listens, await
    :meth:`first_round` before saying what was found, call :meth:`claims_changed` after a
    configured or manual backend was added, changed or removed, :meth:`close` it before the
    HTTP client.

    Args:
        config: ``[discovery]``.
        tools: what it works with.
    """

    def __init__(self, config: DiscoveryConfig, tools: DiscoveryTools) -> None:
        self._config = config
        self._tools = tools
        self._tasks = TaskOwner("discovery")
        self._resolver = HostResolver(SystemResolver(self._tasks))
        self._is_own = _Remembered(tools.own.is_interface, tools.clock)
        allow = tuple(ipaddress.ip_network(text, strict=False) for text in config.allow)
        self._finds = Finds(
            FindsTools(
                registry=tools.registry,
                examine=tools.examine,
                register=tools.register,
                forget=tools.forget,
                clock=tools.clock,
                tasks=self._tasks,
                resolver=self._resolver,
                is_self=tools.own.is_self,
                is_own=self._is_own,
            ),
            FindsSettings(config.grace_period_seconds, allow, config.max_backends),
        )
        self._local: list[EnvironmentAddresses | LocalPorts] = []
        self._others: list[Source] = []
        self._mdns: MdnsBrowser | None = None
        self._mentions: tuple[Mention, ...] = ()
        self._warnings: list[str] = []

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """What the environment holds and Nexus leaves alone; known after :meth:`start`."""
        return self._mentions

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each thing that does not work; each was logged when it came up."""
        return (*self._warnings, *(() if self._mdns is None else self._mdns.warnings))

    async def start(self, listening: Iterable[tuple[str, int]]) -> None:
        """Begin to look; nothing is waited for.

        Args:
            listening: host and port of each listening socket of this Nexus.
        """
        self._tools.own.bind(listening)
        if not self._config.enabled:
            return
        self._finds.claims_changed()
        self._make_sources()
        for source in (*self._local, *self._others):
            await source.start()
        if self._mdns is not None:
            self._tasks.spawn(self._browse(self._mdns), "mdns")

    async def first_round(self) -> None:
        """Wait until what this computer runs has been examined, ``FIRST_ROUND_SECONDS`` at most."""
        # Who is slower than that is found all the same, only later.
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ROUND_SECONDS):
                for source in self._local:
                    await source.first_round()
                await self._finds.settled()

    def claims_changed(self) -> None:
        """Take note that configured or manual backends were added, changed or removed."""
        if self._config.enabled:
            self._finds.claims_changed()

    async def close(self) -> None:
        """End every source. Backends stay as they are."""
        self._finds.close()
        await self._tasks.close()
        for source in (*self._local, *self._others):
            await source.close()
        if self._mdns is not None:
            await self._mdns.close()
        # What a source reported at its end started nothing: finds are closed.
        await self._tasks.close()

    async def _browse(self, mdns: MdnsBrowser) -> None:
        """Browse once this computer has been looked at: importing zeroconf takes its time."""
        await self.first_round()
        await mdns.start()

    def _warn(self, sentence: str) -> None:
        self._warnings.append(sentence)
        _log.warning(sentence)

    def _make_sources(self) -> None:
        config, tools = self._config, self._tools
        around = Surroundings(self._finds, tools.clock, self._resolver, tools.own.is_self, listening_sockets)
        configured = {
            (backend.spec.origin.host, backend.spec.origin.port)
            for backend in tools.registry.snapshot.backends.values()
            if backend.spec.source in (DiscoverySource.STATIC, DiscoverySource.MANUAL)
        }
        environment = read_environment(tools.environ, is_self=tools.own.is_self, configured=configured)
        self._mentions = environment.mentions
        if config.probe_local:
            hosts = container_hosts(tools.environ)
            self._local = [
                EnvironmentAddresses(around, config.probe_seconds, environment),
                LocalPorts(around, config.probe_seconds, hosts, tools.ports),
            ]
        if config.peers:
            self._others.append(Peers(around, config.probe_seconds, config.peers))
        if config.service_types:
            if bridge_gateway() is not None:
                # Sockets open as usual there, and hear nothing: only the cable tells.
                self._warn(
                    f"what the network announces does not reach into this container: {WAY_ROUND}, "
                    "or give it the host's network"
                )
            self._mdns = MdnsBrowser(
                self._finds,
                tools.clock,
                config.service_types,
                own_id=tools.gateway_id,
                most=SIGHTINGS_PER_BACKEND * config.max_backends,
                interfaces=tools.interfaces,
            )


class _Remembered:
    """Answers about hosts, asked for anew every ``OWN_SECONDS``: each costs a system call an interface."""

    __slots__ = ("_answers", "_ask", "_clock", "_until")

    def __init__(self, ask: Callable[[str], bool], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._answers: dict[str, bool] = {}
        self._until = 0.0

    def __call__(self, host: str) -> bool:
        now = self._clock.now()
        if now >= self._until:
            self._answers.clear()
            self._until = now + OWN_SECONDS
        answer = self._answers.get(host)
        if answer is None:
            answer = self._answers[host] = self._ask(host)
        return answer
