from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from nexus.backends.base import Adapter, ErrorReading, Memory, Probe, Report
from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType, FailureKind, Model, Origin
from nexus.protocol.headers import Header
from nexus.registry.registry import Registry
from nexus.services.backend_watch import HealthSettings, HealthTools
from nexus.services.health import HealthService
from nexus.tasks import SystemClock

OK = Report(BackendStatus.HEALTHY, models=(Model("m", "m"),))
DOWN = Report(BackendStatus.UNHEALTHY, reason="connection refused")
LOADING = Report(BackendStatus.LOADING, reason="loading")
KEY = Report(BackendStatus.UNAUTHORIZED, reason="the key was refused")


class ScriptedAdapter(Adapter):
    """Answers each check from a list; the last answer stays."""

    type = BackendType.GENERIC

    def __init__(self) -> None:
        self.answers: dict[str, list[Report]] = {}
        self.polled: dict[str, int] = {}
        self.changed = asyncio.Event()
        self.frozen: set[str] = set()
        self.polling: Callable[[str], None] | None = None

    async def poll(self, probe: Probe, memory: Memory | None = None) -> Report:  # noqa: ARG002
        name = probe.name  # type: ignore[attr-defined]
        if name in self.frozen:
            await asyncio.Event().wait()
        self.polled[name] = self.polled.get(name, 0) + 1
        if self.polling is not None:
            self.polling(name)
        answers = self.answers[name]
        self.changed.set()
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def read_error(
        self,
        status: int,
        body: bytes,  # noqa: ARG002
        headers: Sequence[Header] = (),  # noqa: ARG002
        *,
        surface: str = "",  # noqa: ARG002
        request: bytes = b"",  # noqa: ARG002
    ) -> ErrorReading:
        return ErrorReading(FailureKind.SERVER_ERROR, str(status))


class NamedProbe:
    def __init__(self, name: str) -> None:
        self.name = name


class Fixture:
    def __init__(self, settings: HealthSettings) -> None:
        self.adapter = ScriptedAdapter()
        self.registry = Registry(SystemClock())
        self.transitions: list[tuple[str, str]] = []
        self.registry.subscribe(lambda old, new: self.transitions.append((old.status, new.status)))
        self.tools = HealthTools(
            registry=self.registry,
            make_probe=lambda spec: NamedProbe(spec.name),  # type: ignore[arg-type, return-value]
            settings=settings,
            clock=SystemClock(),
            rng=random.Random(1),
            adapters={BackendType.GENERIC: self.adapter},
        )

    def add(self, name: str, *answers: Report) -> Backend:
        self.adapter.answers[name] = list(answers)
        spec = BackendSpec(id=name, name=name, origin=Origin("http", "h", 1), type=BackendType.GENERIC)
        return self.registry.register(spec)

    def status(self, name: str) -> BackendStatus:
        backend = self.registry.get(name)
        assert backend is not None
        return backend.status

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.adapter.changed.clear()
                await asyncio.sleep(0.002)


@asynccontextmanager
async def checking(fixture: Fixture, *, periodic: bool = True) -> AsyncIterator[HealthService]:
    service = HealthService(fixture.tools, periodic=periodic)
    service.start()
    try:
        yield service
    finally:
        await service.close()


def fast(interval: float = 0.01) -> HealthSettings:
    return HealthSettings(interval_seconds=interval, failure_threshold=3, recovery_threshold=2)


@pytest.mark.parametrize("first", [OK, DOWN, LOADING, KEY], ids=lambda report: report.status)
async def test_an_unknown_backend_settles_on_its_first_result(first: Report) -> None:
    fixture = Fixture(fast(30))
    fixture.add("a", first)
    async with checking(fixture) as service:
        await service.first_round()
        assert fixture.status("a") is first.status
        assert fixture.adapter.polled["a"] == 1


async def test_a_transition_is_logged_once_whoever_saw_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nexus.health")
    fixture = Fixture(fast(30))
    fixture.add("a", OK, DOWN)
    async with checking(fixture) as service:
        await service.first_round()
        fixture.registry.mark_unreachable("a", "every address refused")
        fixture.registry.mark_unreachable("a", "every address refused")
        await fixture.until(lambda: fixture.adapter.polled["a"] == 3)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "backend is healthy"),
        ("WARNING", "backend is unhealthy"),
    ]


async def test_a_healthy_backend_falls_after_the_failure_threshold() -> None:
    fixture = Fixture(fast())
    fixture.add("a", OK, DOWN, DOWN, OK, DOWN, DOWN, DOWN)
    async with checking(fixture) as service:
        await service.first_round()
        await fixture.until(lambda: fixture.adapter.polled["a"] == 6)
        assert fixture.status("a") is BackendStatus.HEALTHY
        await fixture.until(lambda: fixture.status("a") is BackendStatus.UNHEALTHY)
        backend = fixture.registry.get("a")
        assert backend is not None
        assert backend.reason == "connection refused"
        assert [model.id for model in backend.models] == ["m"]


async def test_a_request_served_during_a_failing_check_counts_as_health() -> None:
    fixture = Fixture(fast())
    fixture.add("a", OK, DOWN)
    async with checking(fixture) as service:
        await service.first_round()
        (candidate,) = fixture.registry.by_model("m")

        def serve(_: str) -> None:
            with fixture.registry.lease(candidate):
                pass

        fixture.adapter.polling = serve
        await fixture.until(lambda: fixture.adapter.polled["a"] > 10)
        assert fixture.status("a") is BackendStatus.HEALTHY
        fixture.adapter.polling = None
        await fixture.until(lambda: fixture.status("a") is BackendStatus.UNHEALTHY)


async def test_an_unhealthy_backend_returns_after_the_recovery_threshold() -> None:
    fixture = Fixture(fast())
    fixture.add("a", DOWN, OK, DOWN, OK, OK)
    async with checking(fixture) as service:
        await service.first_round()
        await fixture.until(lambda: fixture.adapter.polled["a"] == 4)
        assert fixture.status("a") is BackendStatus.UNHEALTHY
        await fixture.until(lambda: fixture.status("a") is BackendStatus.HEALTHY)
        assert fixture.transitions == [("unknown", "unhealthy"), ("unhealthy", "healthy")]


async def test_good_checks_from_before_it_went_down_do_not_bring_a_backend_back() -> None:
    fixture = Fixture(fast(3600))
    fixture.add("a", OK)
    async with checking(fixture) as service:
        await service.first_round()
        fixture.registry.mark_unreachable("a", "every address refused")
        await fixture.until(lambda: fixture.status("a") is BackendStatus.HEALTHY)
        assert fixture.adapter.polled["a"] == 3


async def test_a_frozen_backend_delays_nobody() -> None:
    fixture = Fixture(fast())
    fixture.add("frozen", OK)
    fixture.add("a", OK)
    fixture.adapter.frozen.add("frozen")
    async with checking(fixture):
        await fixture.until(lambda: fixture.adapter.polled.get("a", 0) > 5)
        assert fixture.status("frozen") is BackendStatus.UNKNOWN


async def test_a_wish_brings_the_check_forward() -> None:
    fixture = Fixture(fast(3600))
    fixture.add("a", OK, DOWN)
    async with checking(fixture) as service:
        await service.first_round()
        fixture.registry.mark_unreachable("a", "refused")
        assert fixture.status("a") is BackendStatus.UNHEALTHY
        await fixture.until(lambda: fixture.adapter.polled["a"] >= 2)


async def test_without_periodic_checks_a_backend_is_asked_once_and_until_it_recovers() -> None:
    fixture = Fixture(fast())
    fixture.add("a", OK)
    fixture.add("b", DOWN, OK)
    async with checking(fixture, periodic=False) as service:
        await service.first_round()
        await fixture.until(lambda: fixture.status("b") is BackendStatus.HEALTHY)
        assert fixture.adapter.polled["a"] == 1


async def test_a_removed_backend_is_not_asked_again() -> None:
    fixture = Fixture(fast())
    fixture.add("a", OK)
    async with checking(fixture) as service:
        await service.first_round()
        fixture.registry.remove("a")
        await fixture.until(lambda: not service.watching("a"))
        count = fixture.adapter.polled["a"]
        fixture.add("b", OK)
        service.watch(fixture.registry.snapshot.backends["b"])
        await fixture.until(lambda: fixture.adapter.polled.get("b", 0) > 3)
        assert fixture.adapter.polled["a"] == count


async def test_a_defect_is_shown_logged_once_and_the_watch_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    fixture = Fixture(fast())
    fixture.add("a", OK)
    broken = True

    def stumble(_: str) -> None:
        if broken:
            raise KeyError("a defect")

    async with checking(fixture) as service:
        await service.first_round()
        fixture.adapter.polling = stumble
        await fixture.until(lambda: fixture.status("a") is BackendStatus.UNHEALTHY)
        backend = fixture.registry.get("a")
        assert backend is not None
        assert "a defect of Nexus" in backend.reason
        polled = fixture.adapter.polled["a"]
        await fixture.until(lambda: fixture.adapter.polled["a"] > polled + 3)
        assert service.watching("a")
        broken = False
        await fixture.until(lambda: fixture.status("a") is BackendStatus.HEALTHY)
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert [record.levelname for record in tracebacks] == ["ERROR"]


async def test_a_defect_in_the_first_check_leaves_nobody_waiting() -> None:
    fixture = Fixture(fast())
    fixture.add("a", OK)

    def told(old: Backend, new: Backend) -> None:
        del old, new
        raise RuntimeError("a defect of a listener, too")

    fixture.registry.subscribe(told)
    async with checking(fixture) as service:
        async with asyncio.timeout(20):
            await service.first_round()
        await fixture.until(lambda: fixture.adapter.polled["a"] > 3)
        assert service.watching("a")
