"""The one path by which backends come, change and go, whoever asks for it.

Laws: what is registered is watched, and what left leaves nothing behind (no watch, no resting
connection, no rendered head); a backend that goes with a drain is out of rotation at once and
forgotten when its last request has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from nexus.backends.base import Adapter, Probe, Report
from nexus.backends.detect import Verdict, detect, known_host
from nexus.backends.offering import offered
from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType, DiscoverySource, Origin, replace
from nexus.gateway.upstream_request import Targets
from nexus.http.client import HttpClient
from nexus.observe.events import EventLog
from nexus.protocol.quote import without
from nexus.protocol.surfaces import surfaces_of
from nexus.registry.registry import Registry
from nexus.services.health import HealthService
from nexus.tasks import Clock, TaskOwner

_log: Final = EventLog("fleet")

DRAIN_POLL_SECONDS: Final = 0.1
EXAMINE_SECONDS: Final = 2.0
"""For each question to a server of which nothing is known: it may be none at all."""

MakeProbe = Callable[[BackendSpec, float | None], Probe]
"""Gives a way to ask a backend, within at most these seconds for each question."""

_CONFIGURED: Final = frozenset({DiscoverySource.STATIC, DiscoverySource.MANUAL})


class Look(msgspec.Struct, frozen=True):
    """What a server said before it was registered.

    Attributes:
        type: its dialect.
        report: of one poll.
    """

    type: BackendType
    report: Report


class Fleet:
    """Adds, changes, drains and removes backends while requests run.

    Args:
        registry: the truth.
        health: watches what is registered.
        client: keeps connections.
        targets: keeps what requests to each backend share.
        adapters: the dialects.
        make_probe: gives a way to ask a backend, registered or not.
        clock: the time.
        gateway_id: our own id.
    """

    def __init__(
        self,
        registry: Registry,
        health: HealthService,
        client: HttpClient,
        targets: Targets,
        *,
        adapters: Mapping[BackendType, Adapter],
        make_probe: MakeProbe,
        clock: Clock,
        gateway_id: str = "",
    ) -> None:
        self._gateway_id = gateway_id
        self._registry = registry
        self._health = health
        self._client = client
        self._targets = targets
        self._adapters = adapters
        self._make_probe = make_probe
        self._clock = clock
        self._tasks = TaskOwner("fleet")
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._watching = False

    def start(self) -> None:
        """Watch every backend from now on."""
        self._watching = True
        self._health.start()

    async def close(self) -> None:
        """End every watch and every wait for a last request."""
        self._watching = False
        self._leaving.clear()
        await self._tasks.close()
        await self._health.close()

    def leaving(self, backend_id: str) -> bool:
        """Tell whether a backend is forgotten as soon as its last request ends."""
        return backend_id in self._leaving

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after a configured backend came, changed, began to leave or went."""
        self._listeners.append(listener)

    async def examine(self, spec: BackendSpec) -> Verdict | None:
        """Ask a server what it is, and nothing more; ``None`` when it does not answer."""
        probe = self._make_probe(spec, EXAMINE_SECONDS)
        verdict = known_host(spec.origin) or await detect(
            probe, api_root=spec.api_root, native_root=spec.native_root
        )
        # A server may repeat the key that it was asked with.
        return verdict and replace(verdict, evidence=without(verdict.evidence, spec.secrets))

    async def look(self, spec: BackendSpec) -> Look | None:
        """Ask a server what it is and has, so that it can serve from the moment it is registered.

        Args:
            spec: where and how; nothing of it is registered.

        Returns:
            What it said, or ``None`` when it is not known what it is.
        """
        kind = spec.type
        if kind is None:
            verdict = await self.examine(spec)
            if verdict is None:
                return None
            kind = verdict.type
        report = await self._adapters[kind].poll(self._make_probe(spec, None), {})
        report = replace(report, reason=without(report.reason, spec.secrets))
        return Look(spec.type or report.type or kind, report)

    def put(self, spec: BackendSpec, kind: BackendType | None = None, look: Look | None = None) -> Backend:
        """Add a backend, or give a known one a new specification; it is checked at once.

        One that was leaving stays. Counters are kept, and status and models too while the server
        is the same.

        Args:
            spec: what was configured or found; ``spec.id`` says which.
            kind: its dialect as detected; a type in ``spec`` comes first.
            look: what it said just now, in force until the first check.
        """
        self._stay(spec.id)
        old = self._registry.get(spec.id)
        kind = spec.type or (look.type if look is not None else kind)
        adapter = self._adapters[kind or BackendType.GENERIC]
        backend = self._registry.register(
            spec,
            type=kind,
            slots=adapter.default_slots,
            cloud=adapter.cloud,
            surfaces=surfaces_of(adapter.type),
            counts_max_tokens=adapter.counts_max_tokens,
        )
        if look is not None and look.report.status is BackendStatus.HEALTHY:
            backend = self._believe(spec, look.report) or backend
        if old is not None and old.spec.origin != spec.origin:
            self._release(old.spec.origin)
            backend = self._registry.update(spec.id, draining=old.draining) or backend
        if self._watching and (old is None or asked(old.spec) != asked(spec)):
            self._health.watch(backend)
        self._tell(spec)
        return backend

    def remove(self, backend_id: str, *, drain: bool = True) -> bool:
        """Take a backend out of rotation at once, and forget it.

        Args:
            backend_id: which.
            drain: let its running requests end first; until then it is shown as draining.

        Returns:
            Whether it was there.
        """
        backend = self._registry.get(backend_id)
        if backend is None:
            return False
        if drain and self._registry.in_flight(backend_id):
            self._registry.update(backend_id, draining=True)
            if backend_id not in self._leaving:
                self._leaving[backend_id] = self._tasks.spawn(self._leave(backend_id), backend_id)
        else:
            self._forget(backend)
        self._tell(backend.spec)
        return True

    def forget_found(self, backend_id: str) -> None:
        """Remove what discovery added; what somebody has configured since then stays."""
        backend = self._registry.get(backend_id)
        if backend is not None and backend.spec.source not in _CONFIGURED:
            self.remove(backend_id)

    def drain(self, backend_id: str, draining: bool) -> bool:
        """Let a backend take no new requests, or take them again. Return whether it was there."""
        if not draining:
            self._stay(backend_id)
        return self._registry.set_draining(backend_id, draining)

    async def check(self, backend_id: str) -> Backend | None:
        """Ask a backend from scratch now, what it is too, and return it as it is then."""
        backend = self._registry.get(backend_id)
        if backend is None or not self._watching:
            return backend
        await self._health.watch(backend).checked.wait()
        return self._registry.get(backend_id)

    def _believe(self, spec: BackendSpec, report: Report) -> Backend | None:
        return self._registry.update(
            spec.id,
            status=report.status,
            reason=report.reason,
            models=offered(spec, report.models or (), self._gateway_id),
            slots=report.slots,
            version=report.version or None,
        )

    def _stay(self, backend_id: str) -> None:
        task = self._leaving.pop(backend_id, None)
        if task is not None:
            task.cancel()
            self._registry.update(backend_id, draining=False)

    async def _leave(self, backend_id: str) -> None:
        while self._registry.in_flight(backend_id):
            await self._clock.sleep(DRAIN_POLL_SECONDS)
        del self._leaving[backend_id]
        backend = self._registry.get(backend_id)
        if backend is not None:
            self._forget(backend)
            # One that goes at once is told by whoever removed it, with the reason.
            _log.info("backend is gone", backend=backend.name)
            # Its place and name are free only now.
            self._tell(backend.spec)

    def _forget(self, backend: Backend) -> None:
        self._leaving.pop(backend.id, None)
        self._health.unwatch(backend.id)
        self._registry.remove(backend.id)
        self._targets.forget(backend.id)
        self._release(backend.spec.origin)

    def _release(self, origin: Origin) -> None:
        """Close what rests there, unless another backend is at the same place."""
        if all(other.spec.origin != origin for other in self._registry.snapshot.backends.values()):
            self._client.close_idle(origin)

    def _tell(self, spec: BackendSpec) -> None:
        if spec.source in _CONFIGURED:
            for listener in tuple(self._listeners):
                listener()


def asked(spec: BackendSpec) -> BackendSpec:
    """Return ``spec`` without what no check depends on: two that are equal then are checked alike."""
    return replace(
        spec,
        priority=0,
        forward_headers=(),
        disabled_fixes=frozenset(),
        source=DiscoverySource.STATIC,
        found_by="",
    )
