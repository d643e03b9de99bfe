"""The checks of one backend.

Law: a backend whose type was configured is spoken to in that dialect, whatever it answers. Of any
other the verdict is kept, and examined again when the server could not be reached or when its
replies took another shape; then it is asked in its own dialect within the same check.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from nexus.backends.base import Adapter, Memory, Probe, Report
from nexus.backends.detect import Verdict
from nexus.backends.fingerprint import ShapeChanged, ShapingProbe
from nexus.backends.offering import offered
from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType
from nexus.observe.defects import Defects
from nexus.observe.events import EventLog
from nexus.protocol.surfaces import surfaces_of
from nexus.registry.registry import Registry
from nexus.services.identity import Identity
from nexus.services.remedy import reason_of
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
        gateway_id: our own id.
    """

    registry: Registry
    make_probe: MakeProbe
    settings: HealthSettings
    clock: Clock
    rng: random.Random
    adapters: Mapping[BackendType, Adapter]
    gateway_id: str = ""


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
        self._identity = Identity()
        self._another = False
        self._failures = 0
        self._successes = 0
        self._left: BackendStatus | None = None
        self._checked_at = float("-inf")
        self._early_at = float("-inf")
        self._wanted = asyncio.Event()
        self._defects = Defects(_log, "a check failed by a defect of Nexus")
        self.checked = asyncio.Event()

    def wake(self) -> None:
        """Check as soon as the backoff allows."""
        self._wanted.set()

    async def run(self) -> None:
        """Check until the backend is removed."""
        while (backend := self._registry.get(self._id)) is not None:
            self._wanted.clear()
            try:
                await self._check(backend)
            except Exception as error:  # noqa: BLE001  # logged and shown: the next check goes on
                self._failed(backend, error)
            self.checked.set()
            await self._pause()

    async def _check(self, backend: Backend) -> None:
        began = self._clock.now()
        report = await self._poll(backend)
        self._checked_at = self._clock.now()
        if report.status is not BackendStatus.UNHEALTHY or self._registry.last_success(self._id) < began:
            self._apply(report)
        else:
            # A request was served while the check failed: the backend is busy, not down.
            self._failures = 0
        self._defects.over(backend=backend.name)

    def _failed(self, backend: Backend, error: Exception) -> None:
        """Show a check that a defect of ours has ended: nothing is known of the backend any more."""
        self._checked_at = self._clock.now()
        self._failures += 1
        self._successes = 0
        # What was remembered may be what the defect stumbles over.
        self._memory.clear()
        self._identity.forget()
        self._defects.happened(error, backend=backend.name)
        self._left = BackendStatus.UNHEALTHY
        reason = f"a defect of Nexus ended its check ({type(error).__name__}); the log has the traceback"
        try:
            self._registry.update(self._id, status=BackendStatus.UNHEALTHY, reason=reason)
        except Exception as another:  # noqa: BLE001  # logged: one who is told of it has a defect, too
            self._defects.happened(another, backend=backend.name)

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
        if backend.spec.type is not None:
            return await self._tools.adapters[backend.type].poll(probe, self._memory)
        if backend.status is BackendStatus.UNHEALTHY:
            # It was away, as a check or a request found: something else may have come back.
            self._identity.forget()
        if not self._identity.known:
            return await self._examined(backend, probe, None)
        shaping = ShapingProbe(probe, self._identity.shapes)
        try:
            report = await self._tools.adapters[backend.type].poll(shaping, self._memory)
        except ShapeChanged:
            return await self._examined(backend, probe, None)
        if self._identity.doubted(report, shaping.shapes):
            return await self._examined(backend, probe, report)
        return report

    async def _examined(self, backend: Backend, probe: Probe, report: Report | None) -> Report:
        """Find out what the server is, and ask it in its dialect.

        Args:
            backend: as it was known.
            probe: asks it.
            report: what it said in the dialect in force, if it was asked already.
        """
        verdict = await self._identity.examine(backend.spec, probe)
        if verdict is not None and verdict.type is not backend.type:
            other = await self._asked(verdict.type, probe)
            # What is not recognised is another server only when it serves: a proxy's error page
            # in front of a known one does not.
            if verdict.proven or other.status is BackendStatus.HEALTHY:
                self._recognised(backend, verdict)
                return other
        if report is not None:
            self._memory.clear()
            return report
        return await self._asked(backend.type, probe)

    async def _asked(self, backend_type: BackendType, probe: Probe) -> Report:
        """Ask in one dialect, remembering nothing of before; later replies are compared to these."""
        self._memory.clear()
        shaping = ShapingProbe(probe)
        report = await self._tools.adapters[backend_type].poll(shaping, self._memory)
        self._identity.doubted(report, shaping.shapes)
        return report

    def _recognised(self, backend: Backend, verdict: Verdict) -> None:
        _log.info("detected", backend=backend.name, type=str(verdict.type), evidence=verdict.evidence)
        self._become(verdict.type, verdict.version)
        self._another = True

    def _become(self, backend_type: BackendType, version: str = "") -> None:
        """Take on a detected dialect, with what follows from it; the version was another server's."""
        adapter = self._tools.adapters[backend_type]
        self._registry.update(
            self._id,
            type=backend_type,
            version=version,
            slots=adapter.default_slots,
            cloud=adapter.cloud,
            surfaces=surfaces_of(backend_type),
            counts_max_tokens=adapter.counts_max_tokens,
        )

    def _apply(self, report: Report) -> None:
        backend = self._registry.get(self._id)
        if backend is None:
            return
        if backend.status is not self._left:
            # A request found it down since the last check: earlier good ones say nothing any more.
            self._successes = 0
        if report.status is BackendStatus.UNHEALTHY:
            self._failures += 1
            self._successes = 0
        else:
            self._failures = 0
            self._successes += 1
        untold = backend.spec.type is None and not self._identity.proven
        if report.type is not None and untold and report.type is not backend.type:
            self._memory.clear()
            self._become(report.type)
        self._left = status = self._settled(backend.status, report.status)
        models = None
        if report.models is not None:
            models = offered(backend.spec, report.models, self._tools.gateway_id)
        reason = reason_of(backend.spec, report) if status is report.status else backend.reason
        self._registry.update(
            self._id,
            status=status,
            reason=reason,
            models=models,
            slots=report.slots,
            version=report.version or None,
        )
        if status is not backend.status and not self._identity.proven:
            # What was not recognised may be by now: a model list was empty, a proxy was in the way.
            self._identity.forget()

    def _settled(self, now: BackendStatus, reported: BackendStatus) -> BackendStatus:
        """Apply the thresholds; an unknown backend, or another server in its place, settles at once."""
        another, self._another = self._another, False
        if another:
            return reported
        if now is BackendStatus.HEALTHY and reported is BackendStatus.UNHEALTHY:
            return reported if self._failures >= self._settings.failure_threshold else now
        if now is BackendStatus.UNHEALTHY and reported is BackendStatus.HEALTHY:
            return reported if self._successes >= self._settings.recovery_threshold else now
        return reported
