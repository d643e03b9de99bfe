"""The only shapes of the registry that leave for display: frozen, no secrets, JSON-able."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nexus.domain import Backend, Capabilities
from nexus.registry.record import CAPABILITY_NAMES
from nexus.registry.snapshot import Candidate, Snapshot
from nexus.registry.stats import BackendLoad


class PairView(msgspec.Struct, frozen=True):
    """One model on one backend.

    Attributes:
        id, native_id: the clients' name and the backend's own.
        context_length, context_assumed: tokens, see ``domain.Model``.
        capabilities: tri-state, what requests taught included.
        loaded: in memory now, or ``None``.
        in_flight, attempts, failures: live counters.
        first_byte_seconds, tokens_per_second: moving averages, or ``None``.
        busy_seconds: how much longer the pair is left alone.
        busy_loading: because it loads the model.
        resting_seconds: how much longer it ranks last.
        rest_cause: why, while it rests.
        lacks_surfaces: surfaces that it turned out not to have.
    """

    id: str
    native_id: str
    context_length: int | None
    context_assumed: int | None
    capabilities: Capabilities
    loaded: bool | None
    in_flight: int
    attempts: int
    failures: dict[str, int]
    first_byte_seconds: float | None
    tokens_per_second: float | None
    busy_seconds: float
    busy_loading: bool
    resting_seconds: float
    rest_cause: str
    lacks_surfaces: tuple[str, ...]


class BackendView(msgspec.Struct, frozen=True):
    """One backend; ``keyed`` says that it holds a key, which is never shown."""

    id: str
    name: str
    type: str
    url: str
    source: str
    found_by: str
    status: str
    reason: str
    since: float
    priority: int
    slots: int
    draining: bool
    version: str
    cloud: bool
    keyed: bool
    surfaces: tuple[str, ...]
    in_flight: int
    attempts: int
    failures: dict[str, int]
    models: tuple[PairView, ...]


class ModelRow(msgspec.Struct, frozen=True):
    """One row of ``/v1/models``: all backends that offer a model, merged.

    Attributes:
        id: what clients ask for.
        created: Unix seconds, the earliest that a backend says, or 0.
        owned_by: the first that a backend says, or empty.
        context_length: the largest known one in rotation, or ``None``.
        capabilities: true where one in rotation is, false where all are known false.
        available: some backend in rotation offers it.
        alias_of: the model that an alias stands for, or ``None``.
        backends: names, in order of registration.
        object: OpenAI's word for the row.
    """

    id: str
    created: int
    owned_by: str
    context_length: int | None
    capabilities: Capabilities
    available: bool
    alias_of: str | None
    backends: tuple[str, ...]
    object: str = "model"


def backend_view(
    backend: Backend, load: BackendLoad, candidates: Iterable[Candidate], now: float
) -> BackendView:
    """Return how ``backend`` may be shown at ``now`` (monotonic seconds)."""
    spec = backend.spec
    return BackendView(
        id=spec.id,
        name=spec.name,
        type=backend.type.value,
        url=f"{spec.origin}{spec.api_root}",
        source=spec.source.value,
        found_by=spec.found_by,
        status=backend.status.value,
        reason=backend.reason,
        since=backend.since,
        priority=spec.priority,
        slots=backend.slots,
        draining=backend.draining,
        version=backend.version,
        cloud=backend.cloud,
        keyed=spec.key is not None,
        surfaces=tuple(sorted(backend.surfaces)),
        in_flight=load.in_flight,
        attempts=load.attempts,
        failures={kind.value: count for kind, count in load.failures.items()},
        models=tuple(_pair_view(candidate, now) for candidate in candidates),
    )


def model_rows(snapshot: Snapshot) -> tuple[ModelRow, ...]:
    """Return one row per model id and per exact alias that leads to one, sorted by id."""
    rows = {key: _row(key, candidates) for key, candidates in snapshot.index.items()}
    for alias in snapshot.names.aliases:
        found = snapshot.resolve(alias)
        model = found.chain[0]
        if alias not in rows and (candidates := snapshot.candidates(model, found.pinned)):
            rows[alias] = _row(alias, candidates, alias_of=model)
    return tuple(rows[name] for name in sorted(rows))


def _row(name: str, candidates: tuple[Candidate, ...], alias_of: str | None = None) -> ModelRow:
    active = tuple(candidate for candidate in candidates if candidate.in_rotation)
    shown = active or candidates
    contexts = [candidate.context_length for candidate in shown if candidate.context_length is not None]
    dates = [candidate.model.created for candidate in candidates if candidate.model.created > 0]
    owners = (candidate.model.owned_by for candidate in candidates if candidate.model.owned_by)
    return ModelRow(
        id=name,
        created=min(dates, default=0),
        owned_by=next(owners, ""),
        context_length=max(contexts, default=None),
        capabilities=_merged(shown),
        available=bool(active),
        alias_of=alias_of,
        backends=tuple(candidate.backend.spec.name for candidate in candidates),
    )


def _merged(candidates: Iterable[Candidate]) -> Capabilities:
    shown = tuple(candidates)
    flags: dict[str, bool | None] = {}
    for name in CAPABILITY_NAMES:
        if any(name in candidate.known_true for candidate in shown):
            flags[name] = True
        elif all(name in candidate.known_false for candidate in shown):
            flags[name] = False
    return Capabilities(**flags)


def _pair_view(candidate: Candidate, now: float) -> PairView:
    model, stats = candidate.model, candidate.stats
    resting = max(0.0, stats.resting_until - now)
    busy = max(0.0, stats.busy_until - now)
    return PairView(
        id=candidate.key,
        native_id=model.native_id,
        context_length=model.context_length,
        context_assumed=model.context_assumed,
        capabilities=_merged((candidate,)),
        loaded=model.loaded,
        in_flight=stats.in_flight,
        attempts=stats.attempts,
        failures={kind.value: count for kind, count in stats.failures.items()},
        first_byte_seconds=stats.first_byte,
        tokens_per_second=stats.tokens_per_second,
        busy_seconds=busy,
        busy_loading=stats.busy_loading and busy > 0,
        resting_seconds=resting,
        rest_cause=stats.rest_cause if resting else "",
        lacks_surfaces=tuple(
            sorted(name.removeprefix("surface:") for name in candidate.known_false if ":" in name)
        ),
    )
