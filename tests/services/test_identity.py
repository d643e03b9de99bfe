"""Another server takes one's place on a port: spoken to in its own dialect within one check."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nexus.backends import ADAPTERS, HttpProbe
from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType, Origin
from nexus.http.client import HttpClient
from nexus.registry.registry import Registry
from nexus.services.backend_watch import BackendWatch, HealthSettings, HealthTools
from nexus.services.health import HealthService
from nexus.tasks import DeadlineWatch, SystemClock, TaskOwner
from nexus.testing import FakeBackend, FakeFleet, FakeModel, Status

PAIRS = [
    ("ollama", "lmstudio"),
    ("ollama", "llamacpp"),
    ("ollama", "localai"),
    ("localai", "llamacpp"),
    ("ollama", "sglang"),
    ("vllm", "sglang"),
    ("vllm", "tgi"),
    ("llamacpp", "sglang"),
    ("llamacpp", "tgi"),
    ("tgi", "generic"),
    ("exo", "ollama"),
    ("lmstudio", "vllm"),
    ("generic", "ollama"),
    ("generic", "localai"),
]
SWAPS = PAIRS + [(after, before) for before, after in PAIRS]


class Watched:
    """One backend of unknown type, checked when the test says so."""

    def __init__(self, registry: Registry, health: HealthService, watch: BackendWatch) -> None:
        self.registry = registry
        self.health = health
        self._watch = watch
        self.checks = 0

    @property
    def now(self) -> Backend:
        backend = self.registry.get("b")
        assert backend is not None
        return backend

    async def check(self) -> Backend:
        """Make exactly one check."""
        await self._watch.checked.wait()
        self._watch.checked.clear()
        self._watch.wake()
        await self._watch.checked.wait()
        return self.now


@asynccontextmanager
async def watching(fake: FakeBackend, kind: BackendType | None = None) -> AsyncIterator[Watched]:
    clock, tasks = SystemClock(), TaskOwner("test")
    deadlines = DeadlineWatch(clock)
    client = HttpClient(clock=clock, watch=deadlines, tasks=tasks)
    registry = Registry(clock)
    backend = registry.register(BackendSpec("b", "b", Origin("http", fake.host, fake.port), type=kind))
    health = HealthService(
        HealthTools(
            registry=registry,
            make_probe=lambda spec: HttpProbe(client, spec, 5.0),
            settings=HealthSettings(interval_seconds=3600),
            clock=clock,
            rng=random.Random(1),
            adapters=ADAPTERS,
        ),
        periodic=True,
    )
    try:
        watched = Watched(registry, health, health.watch(backend))
        await health.first_round()
        yield watched
    finally:
        await health.close()
        await client.close()
        await tasks.close()
        deadlines.close()


async def replaced(fleet: FakeFleet, fake: FakeBackend, kind: str) -> FakeBackend:
    """End one server and start another on its port, which is never free in between."""
    new = await fleet.add(kind, models=[FakeModel("m", context=4096)], port=fake.port)
    await fake.close()
    return new


def type_of(kind: str) -> BackendType:
    return BackendType(kind)


@pytest.mark.parametrize(("before", "after"), SWAPS)
async def test_a_swap_that_nobody_saw_is_served_within_one_check(before: str, after: str) -> None:
    async with FakeFleet() as fleet:
        old = await fleet.add(before, models=[FakeModel("m", context=8192)])
        async with watching(old) as watched:
            assert (watched.now.type, watched.now.status) == (type_of(before), BackendStatus.HEALTHY)
            new = await replaced(fleet, old, after)
            backend = await watched.check()
            assert (backend.type, backend.status) == (type_of(after), BackendStatus.HEALTHY)
            assert [model.id for model in backend.models] == ["m"]
            async with watching(new) as alone:
                assert backend.version == alone.now.version
            assert not new.surface_requests
            # LM Studio logs the one question that was meant for the server before it.
            assert len(new.side_effects) <= (1 if after == "lmstudio" else 0)


@pytest.mark.parametrize(
    ("before", "after"), [("ollama", "lmstudio"), ("lmstudio", "ollama"), ("localai", "ollama")]
)
async def test_a_swap_after_a_refused_connection_floods_no_log(before: str, after: str) -> None:
    async with FakeFleet() as fleet:
        old = await fleet.add(before, models=["m"])
        async with watching(old) as watched:
            await old.stop()
            watched.registry.mark_unreachable("b", "every address refused")
            new = await replaced(fleet, old, after)
            backend = await watched.check()
            assert (backend.type, backend.status) == (type_of(after), BackendStatus.HEALTHY)
            assert new.side_effects == []


async def test_the_verdict_is_kept_while_replies_keep_their_shape() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=["a", "b"])
        async with watching(fake) as watched:
            asked = [request.path for request in fake.requests]
            assert asked.count("/v1/models") == 1
            fake.set_models(["b", "c"])
            for _ in range(3):
                await watched.check()
            assert [request.path for request in fake.requests].count("/v1/models") == 1
            assert [model.id for model in watched.now.models] == ["b", "c"]


@pytest.mark.parametrize(
    "kind", ["ollama", "vllm", "localai", "lmstudio", "exo", "sglang", "tgi", "llamacpp", "generic"]
)
async def test_a_server_that_stays_is_not_asked_again_what_it_is(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=[FakeModel("m"), FakeModel("n", loaded=False)])
        async with watching(fake) as watched:
            await watched.check()
            fake.requests.clear()
            await watched.check()
            once = [request.path for request in fake.requests]
            fake.requests.clear()
            await watched.check()
            assert [request.path for request in fake.requests] == once
            assert len(once) <= 3


async def test_an_unrecognised_server_is_looked_at_again_when_its_models_change() -> None:
    async with FakeFleet() as fleet:
        exo = await fleet.add("exo", models=[])
        async with watching(exo) as watched:
            assert watched.now.type is BackendType.GENERIC
            exo.set_models(["m"])
            backend = await watched.check()
            assert (backend.type, [model.id for model in backend.models]) == (BackendType.EXO, ["m"])


async def test_a_configured_type_is_never_changed() -> None:
    async with FakeFleet() as fleet:
        old = await fleet.add("vllm", models=["m"])
        async with watching(old, BackendType.VLLM) as watched:
            await replaced(fleet, old, "llamacpp")
            for _ in range(3):
                backend = await watched.check()
                assert backend.type is BackendType.VLLM


async def test_an_error_page_in_front_of_a_known_server_does_not_change_it() -> None:
    page = Status(404, b"<html>gateway</html>", (("Content-Type", "text/html"),))
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=["m"])
        async with watching(fake) as watched:
            fake.always(page, probes=True)
            backend = await watched.check()
            assert (backend.type, backend.status) == (BackendType.OLLAMA, BackendStatus.HEALTHY)
            fake.always(None)
            backend = await watched.check()
            assert (backend.type, backend.status) == (BackendType.OLLAMA, BackendStatus.HEALTHY)


async def test_a_server_that_was_away_is_examined_before_it_is_asked_in_the_old_dialect() -> None:
    async with FakeFleet() as fleet:
        old = await fleet.add("ollama", models=["m"])
        async with watching(old) as watched:
            await old.kill()
            assert (await watched.check()).status is BackendStatus.HEALTHY
            new = await replaced(fleet, old, "lmstudio")
            backend = await watched.check()
            assert (backend.type, backend.status) == (BackendType.LMSTUDIO, BackendStatus.HEALTHY)
            assert new.side_effects == []
