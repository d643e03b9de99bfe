"""The only shapes of the registry that leave for display: frozen, no secrets, JSON-able."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nexus.domain import Backend, Capabilities
from nexus.protocol.headers import MAX_GATEWAYS
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


class BackendRow(msgspec.Struct, frozen=True):
    """One backend without its models, for those who look often; see :class:`BackendView`.

    ``models`` is how many it offers, ``errors`` the sum of ``failures``, ``busy_seconds`` how much
    longer the busiest of its models is left alone.
    """

    id: str
    name: str
    type: str
    source: str
    found_by: str
    url: str
    status: str
    reason: str
    since_at: float
    priority: int
    slots: int
    draining: bool
    version: str
    cloud: bool
    keyed: bool
    in_flight: int
    attempts: int
    errors: int
    failures: dict[str, int]
    models: int
    busy_seconds: float


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
        via: for a gateway that asks: the ids of the gateways on the way from it to the model,
            nearest first, so our own is the first; left out for everybody else.
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
    via: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class Asker(msgspec.Struct, frozen=True):
    """A gateway that asks for the models behind us, and may be behind us itself.

    Laws: a path never holds one gateway twice, is at most ``MAX_GATEWAYS`` long, and is not told
    to those who are on it. So a model whose server is gone cannot live on between gateways that
    believe each other: with every round its paths grow, until nobody is left to tell them to.

    Attributes:
        own_id: our own id.
        passed: ids that the question has passed, the asker's among them.
    """

    own_id: str
    passed: frozenset[str]

    def may_use(self, candidate: Candidate) -> bool:
        """Tell whether a request of the asker's could be sent to ``candidate``."""
        via = candidate.model.via
        return len(via) < MAX_GATEWAYS and self.own_id not in via and self.passed.isdisjoint(via)


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


def backend_row(
    backend: Backend, load: BackendLoad, candidates: Iterable[Candidate], now: float
) -> BackendRow:
    """Return how ``backend`` may be shown in a line at ``now`` (monotonic seconds)."""
    spec = backend.spec
    busy = max((candidate.stats.busy_until for candidate in candidates), default=0.0)
    return BackendRow(
        id=spec.id,
        name=spec.name,
        type=backend.type.value,
        source=spec.source.value,
        found_by=spec.found_by,
        url=f"{spec.origin}{spec.api_root}",
        status=backend.status.value,
        reason=backend.reason,
        since_at=backend.since,
        priority=spec.priority,
        slots=backend.slots,
        draining=backend.draining,
        version=backend.version,
        cloud=backend.cloud,
        keyed=spec.key is not None,
        in_flight=load.in_flight,
        attempts=load.attempts,
        errors=sum(load.failures.values()),
        failures={kind.value: count for kind, count in load.failures.items()},
        models=len(backend.models),
        busy_seconds=max(0.0, busy - now),
    )


def model_rows(snapshot: Snapshot, asker: Asker | None = None) -> tuple[ModelRow, ...]:
    """Return one row per model id and per exact alias that leads to one, sorted by id.

    Args:
        snapshot: what is known.
        asker: the gateway that asks, if one does: it is told only of what it may use through us.
    """
    rows = {
        key: _row(key, shown, asker)
        for key, candidates in snapshot.index.items()
        if (shown := _shown(candidates, asker))
    }
    for alias in snapshot.names.aliases:
        found = snapshot.resolve(alias)
        model = found.chain[0]
        if alias not in rows and (shown := _shown(snapshot.candidates(model, found.pinned), asker)):
            rows[alias] = _row(alias, shown, asker, alias_of=model)
    return tuple(rows[name] for name in sorted(rows))


def _shown(candidates: tuple[Candidate, ...], asker: Asker | None) -> tuple[Candidate, ...]:
    if asker is None:
        return candidates
    return tuple(candidate for candidate in candidates if asker.may_use(candidate))


def _row(
    name: str, candidates: tuple[Candidate, ...], asker: Asker | None, alias_of: str | None = None
) -> ModelRow:
    active = tuple(candidate for candidate in candidates if candidate.in_rotation)
    shown = active or candidates
    contexts = [candidate.context_length for candidate in shown if candidate.context_length is not None]
    dates = [candidate.model.created for candidate in candidates if candidate.model.created > 0]
    owners = (candidate.model.owned_by for candidate in candidates if candidate.model.owned_by)
    shortest = min((candidate.model.via for candidate in shown), key=len)
    return ModelRow(
        id=name,
        created=min(dates, default=0),
        owned_by=next(owners, ""),
        context_length=max(contexts, default=None),
        capabilities=_merged(shown),
        available=bool(active),
        alias_of=alias_of,
        backends=tuple(candidate.backend.spec.name for candidate in candidates),
        via=msgspec.UNSET if asker is None else (asker.own_id, *shortest),
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
