"""Short ways to fill a registry, shared by the tests of the registry and of routing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nexus.domain import (
    Backend,
    BackendSpec,
    BackendStatus,
    BackendType,
    Capabilities,
    Model,
    Origin,
    RoutingRules,
    Secret,
)
from nexus.registry import Candidate, Registry

SURFACES = frozenset({"chat", "completions", "embeddings"})


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 100.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def registry(clock: ManualClock | None = None, rules: RoutingRules | None = None) -> Registry:
    return Registry(clock or ManualClock(), rules)


def spec(name: str, *, priority: int = 50, slots: int | None = None, key: str | None = None) -> BackendSpec:
    return BackendSpec(
        name,
        name,
        Origin("http", f"{name}.test", 8000),
        priority=priority,
        slots=slots,
        key=None if key is None else Secret(key),
    )


def model(name: str, context: int | None = None, **flags: bool) -> Model:
    return Model(name, f"native/{name}", context_length=context, capabilities=Capabilities(**flags))


def add(
    target: Registry,
    name: str,
    models: Sequence[Model | str] = ("llama3",),
    *,
    priority: int = 50,
    slots: int = 4,
    key: str | None = None,
    status: BackendStatus = BackendStatus.HEALTHY,
    surfaces: frozenset[str] = SURFACES,
    type: BackendType = BackendType.VLLM,  # noqa: A002 - the registry's own keyword
    counts_max_tokens: bool = False,
) -> Backend:
    target.register(
        spec(name, priority=priority, key=key),
        type=type,
        slots=slots,
        surfaces=surfaces,
        counts_max_tokens=counts_max_tokens,
    )
    offered = tuple(model(entry) if isinstance(entry, str) else entry for entry in models)
    backend = target.update(name, status=status, reason="", models=offered)
    assert backend is not None
    return backend


def pair(target: Registry, backend: str, name: str = "llama3") -> Candidate:
    return target.snapshot.offers[backend][name]


def indexed(target: Registry) -> Mapping[str, tuple[str, ...]]:
    return {
        key: tuple(candidate.backend.name for candidate in entry)
        for key, entry in target.snapshot.index.items()
    }
