"""The checks of one backend."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from nexus.backends.base import Adapter, Memory, Probe, Report
from nexus.backends.detect import detect, known_host
from nexus.backends.offering import offered
from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType
from nexus.observe.events import EventLog
from nexus.protocol.surfaces import surfaces_of
from nexus.registry.registry import Registry
from nexus.tasks import Clock

_log: Final = EventLog("health")

BACKOFF_SECONDS: Final = 0.25
LOADING_SECONDS: Final = 1.0
JITTER: Final = 0.1
_UP: Final = frozenset({BackendStatus.HEALTHY, BackendStatus.LOADING})

MakeProbe = Callable[[BackendSpec], Probe]


class HealthSettings(msgspec.Struct, frozen=True):
    """How often and how strictly.

    Attributes:
        interval_seconds: between two regular checks of one backend.
        failure_threshold: failed checks in a row that take a healthy backend out.
        recovery_threshold: good checks in a row that bring an unhealthy one back.
    """

    interval_seconds: float = 30.0
    failure_threshold: int = 3
    recovery_threshold: int = 2


class HealthTools(msgspec.Struct, frozen=True):
    """What all watches share.

    Attributes:
        registry: written to.
        make_probe: gives a way to ask one backend.
        settings: how often and how strictly.
        clock, rng: injected time and jitter.
        adapters: the dialects.
    """

    registry: Registry
    make_probe: MakeProbe
    settings: HealthSettings
    clock: Clock
    rng: random.Random
    adapters: Mapping[BackendType, Adapter]


class BackendWatch:
    """The checks of one backend: counts in a row, backoff for wishes, memory of its adapter.

    Args:
        backend_id: which.
        tools: what all watches share.
        periodic: check at intervals; otherwise once, when somebody wishes, and until it recovers.

    Attributes:
        checked: set when the first check is over.
    """

    def __init__(self, backend_id: str, tools: HealthTools, *, periodic: bool) -> None:
        self._id = backend_id
        self._tools = tools
        self._registry = tools.registry
        self._clock = tools.clock
        self._settings = tools.settings
        self._periodic = periodic
        self._memory: Memory = {}
        self._detected: BackendType | None = None
        self._proven = True
        self._failures = 0
        self._successes = 0
        self._checked_at = float("-inf")
        self._early_at = float("-inf")
        self._wanted = asyncio.Event()
        self.checked = asyncio.Event()

    def wake(self) -> None:
        """Check as soon as the backoff allows."""
        self._wanted.set()

    async def run(self) -> None:
        """Check until the backend is removed."""
        while (backend := self._registry.get(self._id)) is not None:
            self._wanted.clear()
            began = self._clock.now()
            report = await self._poll(backend)
            self._checked_at = self._clock.now()
            if report.status is not BackendStatus.UNHEALTHY or self._registry.last_success(self._id) < began:
                self._apply(report)
            else:
                # A request was served while the check failed: the backend is busy, not down.
                self._failures = 0
            self.checked.set()
            await self._pause()

    async def _pause(self) -> None:
        """Sleep one interval, less when somebody wishes for a check, but back off while it fails."""
        try:
            async with asyncio.timeout(self._regular_delay()):
                await self._wanted.wait()
        except TimeoutError:
            return
        await self._clock.sleep(self._early_delay())
        self._early_at = self._clock.now()

    def _regular_delay(self) -> float | None:
        """Seconds until the next unasked check, spread so that the fleet is not asked in step."""
        backend = self._registry.get(self._id)
        status = BackendStatus.UNHEALTHY if backend is None else backend.status
        interval = self._settings.interval_seconds
        if status is BackendStatus.LOADING:
            interval = min(interval, LOADING_SECONDS)
        elif status not in _UP or self._failures:
            interval = min(interval, self._backoff())
        elif not self._periodic:
            return None
        return interval * (1 + self._tools.rng.uniform(-JITTER, JITTER))

    def _early_delay(self) -> float:
        """Seconds that a wish has to wait: none at first, yet many failures make no flood of checks."""
        if self._failures:
            since, apart = self._checked_at, self._backoff()
        else:
            since, apart = self._early_at, min(BACKOFF_SECONDS, self._settings.interval_seconds)
        return max(0.0, since + apart - self._clock.now())

    def _backoff(self) -> float:
        doubled: float = BACKOFF_SECONDS * 2.0 ** min(self._failures, 20)
        return min(doubled, self._settings.interval_seconds)

    async def _poll(self, backend: Backend) -> Report:
        probe = self._tools.make_probe(backend.spec)
        if backend.spec.type is None and self._detected is None:
            verdict = known_host(backend.spec.origin) or await detect(probe)
            if verdict is not None:
                if verdict.type is not backend.type:
                    kind = str(verdict.type)
                    _log.info("detected", backend=backend.name, type=kind, evidence=verdict.evidence)
                self._become(verdict.type)
                self._proven = verdict.proven
        return await self._adapter().poll(probe, self._memory)

    def _adapter(self) -> Adapter:
        backend = self._registry.get(self._id)
        backend_type = backend.type if backend is not None else BackendType.GENERIC
        return self._tools.adapters[backend_type]

    def _become(self, backend_type: BackendType) -> None:
        """Take on a detected dialect, with what follows from it."""
        self._detected = backend_type
        self._memory.clear()
        adapter = self._tools.adapters[backend_type]
        self._registry.update(
            self._id,
            type=backend_type,
            slots=adapter.default_slots,
            cloud=adapter.cloud,
            surfaces=surfaces_of(backend_type),
            counts_max_tokens=adapter.counts_max_tokens,
        )

    def _apply(self, report: Report) -> None:
        backend = self._registry.get(self._id)
        if backend is None:
            return
        if report.status is BackendStatus.UNHEALTHY:
            self._failures += 1
            self._successes = 0
            # Something else may answer there by the next check.
            self._detected = None
        else:
            self._failures = 0
            self._successes += 1
        if report.type is not None and backend.spec.type is None and report.type is not backend.type:
            self._become(report.type)
        status = self._settled(backend.status, report.status)
        models = offered(backend.spec, report.models) if report.models is not None else None
        reason = report.reason if status is report.status else backend.reason
        self._registry.update(
            self._id,
            status=status,
            reason=reason,
            models=models,
            slots=report.slots,
            version=report.version or None,
        )
        if status is not backend.status and not self._proven:
            # What was not recognised may be by now: a model list was empty, a proxy was in the way.
            self._detected = None

    def _settled(self, now: BackendStatus, reported: BackendStatus) -> BackendStatus:
        """Apply the thresholds; an unknown backend settles on its first result."""
        if now is BackendStatus.HEALTHY and reported is BackendStatus.UNHEALTHY:
            return reported if self._failures >= self._settings.failure_threshold else now
        if now is BackendStatus.UNHEALTHY and reported is BackendStatus.HEALTHY:
            return reported if self._successes >= self._settings.recovery_threshold else now
        return reported
