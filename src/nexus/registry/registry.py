"""The one mutable owner of what Nexus knows: services write it, the router reads its snapshot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Final, TypeVar, Unpack

from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType, Model, RoutingRules, replace
from nexus.registry.lease import Lease
from nexus.registry.names import NameTable, bare
from nexus.registry.record import Facts, Record, respecified
from nexus.registry.snapshot import Candidate, Snapshot, empty_snapshot, reindexed
from nexus.registry.stats import BackendLoad, Unrest
from nexus.registry.views import (
    BackendRow,
    BackendView,
    ModelRow,
    backend_row,
    backend_view,
    model_rows,
)
from nexus.registry.wishes import Wish, Wishes
from nexus.tasks import Clock

Listener = Callable[[Backend, Backend], None]
"""Called with a backend before and after its status changed."""

KNOWN_MODELS_MAX: Final = 65_536
_T = TypeVar("_T")


class Registry:
    """Backends, their models, their live counters, and the wishes of the request path.

    Laws: the snapshot is made anew on a change and never per request, and only the entries of
    the backend that changed are; live counters are read through it. What arrives late, for a
    backend that has been removed meanwhile, is ignored.

    Args:
        clock: the time.
        rules: names and ranking.

    Attributes:
        snapshot: the newest one; replaced here and nowhere else.
    """

    def __init__(self, clock: Clock, rules: RoutingRules | None = None) -> None:
        self._clock = clock
        # Two leases' worth of look-ups a request: the clock's own function at once.
        self._now = clock.now
        self._records: dict[str, Record] = {}
        self._orders = itertools.count()
        self._turns = itertools.count()
        self._listeners: list[Listener] = []
        self._wishes = Wishes()
        self._known: dict[str, None] = {}
        self._rows: tuple[ModelRow, ...] | None = None
        self._unrest = Unrest()
        self.snapshot = empty_snapshot(RoutingRules() if rules is None else rules, self._unrest)

    def get(self, backend_id: str) -> Backend | None:
        """Return the backend with that id, or ``None``."""
        return self.snapshot.backends.get(backend_id)

    def by_model(self, model: str) -> tuple[Candidate, ...]:
        """Return who offers ``model`` (``x`` and ``x:latest`` are one), up or down."""
        return self.snapshot.index.get(bare(model), ())

    def last_success(self, backend_id: str) -> float:
        """Return when a request last ended well there, in monotonic seconds; ``-inf`` for never."""
        record = self._records.get(backend_id)
        return -math.inf if record is None else record.load.succeeded_at

    def in_flight(self, backend_id: str) -> int:
        """Return how many requests a backend is working on."""
        record = self._records.get(backend_id)
        return 0 if record is None else record.load.in_flight

    def views(self) -> tuple[BackendView, ...]:
        """Return every backend as it may be shown."""
        return self._each(backend_view)

    def rows(self) -> tuple[BackendRow, ...]:
        """Return every backend in a line, without its models."""
        return self._each(backend_row)

    def model_rows(self) -> tuple[ModelRow, ...]:
        """Return one row per model id and alias, sorted by id; kept until something changes."""
        if self._rows is None:
            self._rows = model_rows(self.snapshot)
        return self._rows

    def register(
        self,
        spec: BackendSpec,
        *,
        type: BackendType | None = None,  # noqa: A002 - the domain's own word for the dialect
        slots: int = 100,
        cloud: bool = False,
        surfaces: frozenset[str] = frozenset(),
        counts_max_tokens: bool = False,
    ) -> Backend:
        """Add a backend, or give a known one a new specification.

        A known one keeps its live counters, and status and models too while origin, key and
        dialect stay (one that nobody names stays as detected). The caller has it checked.

        Args:
            spec: what was configured or announced; its own type and slots come first.
            type: the dialect in force.
            slots: assumed for the dialect.
            cloud: as in ``domain.Backend``.
            surfaces: as in ``domain.Backend``.
            counts_max_tokens: as in ``domain.Backend``.
        """
        backend = Backend(
            spec=spec,
            type=spec.type or type or BackendType.GENERIC,
            reason="not checked yet",
            since=self._clock.wall(),
            slots=slots if spec.slots is None else spec.slots,
            cloud=cloud,
            surfaces=surfaces,
            counts_max_tokens=counts_max_tokens,
        )
        record = self._records.get(spec.id)
        if record is None:
            record = self._records[spec.id] = Record(backend, next(self._orders), self._unrest)
        else:
            backend = respecified(record.backend, backend, typed=bool(spec.type or type))
        return self._store(record, backend)

    def update(
        self,
        backend_id: str,
        *,
        status: BackendStatus | None = None,
        reason: str | None = None,
        models: tuple[Model, ...] | None = None,
        slots: int | None = None,
        **facts: Unpack[Facts],
    ) -> Backend | None:
        """Write down what a check found; ``None`` keeps what is known.

        Args:
            backend_id: which; an unknown one is ignored.
            status: starts a new ``since`` when it differs.
            reason: one sentence for the operator.
            models: after mapping, globs and overrides.
            slots: as reported; configured ones stand.
            facts: as in :class:`Facts`.

        Returns:
            The backend as it is now, or ``None``.
        """
        if (record := self._records.get(backend_id)) is None:
            return None
        old = record.backend
        changes: dict[str, object] = {name: value for name, value in facts.items() if value is not None}
        if status is not None and status is not old.status:
            changes |= {"status": status, "since": self._clock.wall()}
        if reason is not None:
            changes["reason"] = reason
        if models is not None:
            changes["models"] = models
        if slots is not None and old.spec.slots is None:
            changes["slots"] = slots
        backend = replace(old, **changes)
        return old if backend == old else self._store(record, backend)

    def remove(self, backend_id: str) -> bool:
        """Forget a backend; open leases on it end as usual. Return whether it was there."""
        record = self._records.pop(backend_id, None)
        if record is None:
            return False
        self._wishes.forget(backend_id)
        before, record.candidates = record.candidates, {}
        self._publish(before, {}, record)
        return True

    def set_draining(self, backend_id: str, draining: bool) -> bool:
        """Let a backend take no new requests, or take them again. Return whether it was there."""
        return self.update(backend_id, draining=draining) is not None

    def set_rules(self, rules: RoutingRules) -> None:
        """Swap names and ranking; every decision sees either the old or the new."""
        keyed = rules.route_keyed_backends
        keyed_changed = keyed is not self.snapshot.rules.route_keyed_backends
        self._install(replace(self.snapshot, rules=rules, names=NameTable(rules)))
        if keyed_changed:
            for record in self._records.values():
                self._rebuild(record)

    def mark_unreachable(self, backend_id: str, reason: str) -> None:
        """A connection failed: out of rotation at once, and a wish for a check."""
        if self.update(backend_id, status=BackendStatus.UNHEALTHY, reason=reason) is not None:
            self.wish_check(backend_id, reason)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after each change of a status; return how to stop it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def wish_check(self, backend_id: str, reason: str) -> None:
        """Ask for an early check; many asks for one backend are one wish."""
        if backend_id in self._records:
            self._wishes.put(backend_id, reason, refresh=False)

    def wish_refresh(self, backend_id: str, reason: str = "the model list is stale") -> None:
        """Ask for a new model list."""
        if backend_id in self._records:
            self._wishes.put(backend_id, reason, refresh=True)

    async def next_wish(self) -> Wish:
        """Wait for the oldest wish and take it. For one consumer."""
        return await self._wishes.get()

    def lease(self, candidate: Candidate, at: float | None = None) -> Lease:
        """Return the scope of one attempt on ``candidate``, which begins ``at`` a moment just read."""
        return Lease(candidate, self._now, self._turns, at)

    def rest(self, candidate: Candidate, now: float, cause: str) -> None:
        """Rank the pair last for a moment."""
        candidate.stats.rest(now, cause)

    def busy(self, candidate: Candidate, now: float, retry_after: float | None, loading: bool) -> None:
        """Leave the pair alone for ``retry_after`` seconds, see ``PairStats.busy``."""
        candidate.stats.busy(now, retry_after, loading=loading)

    def learn_false(self, candidate: Candidate, capability: str) -> None:
        """The pair lacks ``capability`` (or ``"surface:<name>"``) until its model list changes."""
        record = self._records.get(candidate.backend.spec.id)
        if record is not None and record.learn_false(candidate.key, capability):
            self._rebuild(record)

    def correct_context(self, candidate: Candidate, context_length: int) -> None:
        """The backend itself said how many tokens the model's context holds."""
        record = self._records.get(candidate.backend.spec.id)
        if record is not None and record.correct_context(candidate.key, context_length):
            self._rebuild(record)

    def _each(self, show: Callable[[Backend, BackendLoad, Iterable[Candidate], float], _T]) -> tuple[_T, ...]:
        now = self._clock.now()
        return tuple(
            show(record.backend, record.load, record.candidates.values(), now)
            for record in self._records.values()
        )

    def _store(self, record: Record, backend: Backend) -> Backend:
        old = record.backend
        if backend.models is not old.models:
            record.take_models(backend.models)
            self._remember(backend.models)
        record.backend = backend
        self._rebuild(record)
        if backend.status is not old.status:
            if backend.status is BackendStatus.HEALTHY:
                record.loaded()
            for listener in tuple(self._listeners):
                listener(old, backend)
        return backend

    def _rebuild(self, record: Record) -> None:
        before = record.candidates
        record.rebuild(keyed_allowed=self.snapshot.rules.route_keyed_backends)
        self._publish(before, record.candidates, record)

    def _publish(self, before: dict[str, Candidate], after: dict[str, Candidate], record: Record) -> None:
        index = reindexed(self.snapshot.index, before, after, record.order)
        records = self._records
        snapshot = replace(
            self.snapshot,
            backends=MappingProxyType({key: record.backend for key, record in records.items()}),
            index=MappingProxyType(index),
            offers=MappingProxyType({key: record.candidates for key, record in records.items()}),
            pins=MappingProxyType(
                {record.backend.spec.name: key for key, record in reversed(records.items())}
            ),
        )
        self._install(snapshot)

    def _install(self, snapshot: Snapshot) -> None:
        self._rows = None
        self.snapshot = replace(snapshot, version=snapshot.version + 1, memory={})

    def _remember(self, models: Iterable[Model]) -> None:
        known = self._known
        news = {bare(model.id): None for model in models} if models else {}
        if news.keys() <= known.keys():
            return
        known |= news
        for name in list(itertools.islice(known, max(0, len(known) - KNOWN_MODELS_MAX))):
            del known[name]
        self.snapshot = replace(self.snapshot, known_models=frozenset(known))
