"""The registry at one moment: immutable, versioned, and all that one decision reads."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from nexus.domain import Backend, Model, RoutingRules
from nexus.registry.names import NameTable, Resolution
from nexus.registry.stats import BackendLoad, PairStats, Unrest


class Candidate(msgspec.Struct, frozen=True, eq=False):
    """One model on one backend. Compared by identity.

    What a decision asks of every candidate is worked out here once, when the snapshot is made.

    Attributes:
        backend: as it was at this snapshot.
        model: as that backend offers it, learned corrections applied.
        key: the bare id under which it is indexed.
        order: place of its backend in the order of registration.
        load, stats: the live counters.
        known_false: capabilities reported or learned to be missing, and ``"surface:<name>"``.
        known_true: capabilities reported and not unlearned.
        surfaces: names of the surfaces on which the backend serves this model.
        priority: its backend's, and 1 for each gateway on the way to the model.
        preferred: the same as a share: 1 for the first, 0 for 100 and beyond.
        in_rotation: its backend is healthy, not draining, and may be used under the rules.
    """

    backend: Backend
    model: Model
    key: str
    order: int
    load: BackendLoad
    stats: PairStats
    known_false: frozenset[str]
    known_true: frozenset[str]
    surfaces: frozenset[str]
    in_rotation: bool
    priority: int
    preferred: float
    slots: int
    context_length: int | None


class Snapshot(msgspec.Struct, frozen=True, eq=False):
    """Everything that one decision sees.

    Attributes:
        version: grows with every change.
        backends: by id, in order of registration.
        index: bare model id to its candidates, in order of registration; also the models of
            backends that are down.
        offers: backend id to its candidates by bare model id.
        pins: backend name to id.
        names: aliases and fallback chains.
        rules: the routing configuration.
        known_models: every bare id that a backend has had.
        unrest: until when some pair may be busy or rest; live, like the counters.
        memory: what routing has worked out from the rest, by kind of request; empty in every new
            snapshot, bounded by routing, and never a source of anything.
    """

    version: int
    backends: Mapping[str, Backend]
    index: Mapping[str, tuple[Candidate, ...]]
    offers: Mapping[str, Mapping[str, Candidate]]
    pins: Mapping[str, str]
    names: NameTable
    rules: RoutingRules
    known_models: frozenset[str]
    unrest: Unrest
    memory: dict[tuple[object, ...], Any] = msgspec.field(default_factory=dict)

    def resolve(self, name: str) -> Resolution:
        """Return what ``name`` stands for in this snapshot."""
        return self.names.resolve(name, self.index, self.pins, self.offers)

    def candidates(self, model: str, pinned: str | None = None) -> tuple[Candidate, ...]:
        """Return who offers the bare id ``model``, or only the backend with id ``pinned``."""
        if pinned is None:
            return self.index.get(model, ())
        candidate = self.offers.get(pinned, {}).get(model)
        return () if candidate is None else (candidate,)


def empty_snapshot(rules: RoutingRules, unrest: Unrest) -> Snapshot:
    """Return the snapshot before any backend; ``unrest`` is that of all pairs to come."""
    return Snapshot(
        version=0,
        backends=MappingProxyType({}),
        index=MappingProxyType({}),
        offers=MappingProxyType({}),
        pins=MappingProxyType({}),
        names=NameTable(rules),
        rules=rules,
        known_models=frozenset(),
        unrest=unrest,
    )


def reindexed(
    index: Mapping[str, tuple[Candidate, ...]],
    before: Mapping[str, Candidate],
    after: Mapping[str, Candidate],
    order: int,
) -> dict[str, tuple[Candidate, ...]]:
    """Return ``index`` with one backend's candidates replaced; entries of other models are shared.

    Args:
        index: of the snapshot so far.
        before: the backend's candidates in it.
        after: those that take their place.
        order: the backend's place in the order of registration.
    """
    fresh = dict(index)
    for key in before.keys() | after.keys():
        entry = [candidate for candidate in fresh.get(key, ()) if candidate.order != order]
        if (candidate := after.get(key)) is not None:
            entry.append(candidate)
            entry.sort(key=_order)
        if entry:
            fresh[key] = tuple(entry)
        else:
            del fresh[key]
    return fresh


def _order(candidate: Candidate) -> int:
    return candidate.order
