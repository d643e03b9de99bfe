"""Keeps discovery as the configuration wants it, also when that changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nexus.backends.detect import Verdict
from nexus.config.load import Loaded
from nexus.config.schema import DiscoveryConfig
from nexus.domain import BackendSpec, replace
from nexus.registry.registry import Registry
from nexus.server.fleet import Fleet
from nexus.services.discovery.environment import Mention
from nexus.services.discovery.local_ports import PORTS
from nexus.services.discovery.service import Discovery, DiscoveryTools
from nexus.tasks import Clock, TaskOwner


class Finder:
    """Starts, exchanges and ends discovery.

    Law: other settings lose no backend. What was found stays until discovery has found it again
    or the grace period is over.

    Args:
        registry: read by discovery.
        fleet: where what is found is registered.
        clock: the time.
        environ: the environment, which may name servers.
        gateway_id: the stable id of this gateway.
        ports: of this computer, to look at.
    """

    def __init__(
        self,
        registry: Registry,
        fleet: Fleet,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        gateway_id: str,
        ports: Sequence[int] = PORTS,
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._tools = DiscoveryTools(
            registry=registry,
            examine=fleet.examine,
            register=self._register,
            forget=self._forget,
            clock=clock,
            environ=environ,
            gateway_id=gateway_id,
            ports=ports,
        )
        self._tasks = TaskOwner("finder")
        self._listening: tuple[tuple[str, int], ...] = ()
        self._config: DiscoveryConfig | None = None
        self._discovery: Discovery | None = None
        self._found: set[str] = set()
        self._left: set[str] = set()
        fleet.subscribe(self._claims_changed)

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """What the environment holds and Nexus leaves alone."""
        return () if self._discovery is None else self._discovery.mentions

    def bind(self, listening: Iterable[tuple[str, int]]) -> None:
        """Take note of the listening sockets of this Nexus, by host and port."""
        self._listening = tuple(listening)

    async def follow(self, loaded: Loaded) -> None:
        """Look as ``[discovery]`` says from now on."""
        config = replace(loaded.config.discovery, advertise=False, open=False)
        if config == self._config:
            return
        await self._end()
        self._config = config
        self._left |= self._found
        self._found = set()
        if not config.enabled:
            self._drop_left()
            return
        self._discovery = Discovery(config, self._tools)
        await self._discovery.start(self._listening)
        if self._left:
            self._tasks.spawn(self._let_go(config.grace_period_seconds), "let-go")

    async def first_round(self) -> None:
        """Wait until what this computer runs has been examined, a few seconds at most."""
        if self._discovery is not None:
            await self._discovery.first_round()

    async def close(self) -> None:
        """Look no more. Backends stay as they are."""
        await self._end()

    async def _end(self) -> None:
        await self._tasks.close()
        discovery, self._discovery, self._config = self._discovery, None, None
        if discovery is not None:
            await discovery.close()

    async def _let_go(self, seconds: float) -> None:
        """Remove what an earlier discovery found and this one has not by the end of the grace period."""
        await self.first_round()
        await self._clock.sleep(seconds)
        self._drop_left()

    def _drop_left(self) -> None:
        left, self._left = self._left - self._found, set()
        for backend_id in left:
            self._fleet.forget_found(backend_id)

    def _register(self, spec: BackendSpec, verdict: Verdict) -> None:
        self._found.add(spec.id)
        self._fleet.put(spec, verdict.type)

    def _forget(self, backend_id: str) -> None:
        self._found.discard(backend_id)
        self._fleet.forget_found(backend_id)

    def _claims_changed(self) -> None:
        if self._discovery is not None:
            self._discovery.claims_changed()
