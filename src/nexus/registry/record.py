"""What the registry keeps of one backend between snapshots."""

from __future__ import annotations

from typing import Final, TypedDict

from nexus.domain import Backend, BackendStatus, BackendType, Capabilities, Model, replace
from nexus.registry.names import bare
from nexus.registry.snapshot import Candidate
from nexus.registry.stats import BackendLoad, PairStats, Unrest

CAPABILITY_NAMES: Final = Capabilities.__struct_fields__
_CHAT_SURFACES: Final = frozenset({"chat", "responses", "messages", "count_tokens"})


class Facts(TypedDict, total=False):
    """What follows from a backend's dialect or was read from it, see ``domain.Backend``."""

    version: str | None
    type: BackendType | None
    cloud: bool | None
    surfaces: frozenset[str] | None
    counts_max_tokens: bool | None
    draining: bool | None


class Record:
    """One backend, its live counters, and what requests taught about it.

    Args:
        backend: as it is registered.
        order: its place in the order of registration.
        unrest: the registry's, for its pairs.

    Attributes:
        backend: the current value.
        order: place in the order of registration.
        load: live counters of the backend.
        candidates: what snapshots show, by bare model id.
    """

    __slots__ = ("_corrected", "_learned", "_pairs", "_unrest", "backend", "candidates", "load", "order")

    def __init__(self, backend: Backend, order: int, unrest: Unrest) -> None:
        self._unrest = unrest
        self.backend = backend
        self.order = order
        self.load = BackendLoad()
        self.candidates: dict[str, Candidate] = {}
        self._pairs: dict[str, PairStats] = {}
        self._learned: dict[str, frozenset[str]] = {}
        self._corrected: dict[str, tuple[int | None, int]] = {}

    def take_models(self, models: tuple[Model, ...]) -> None:
        """Note a new model list, before ``backend`` shows it.

        What requests taught stays only while the list is the same. A load that comes or goes,
        or a context that moves with it, is not another list. Counters of a model that left are
        dropped, unless a lease still holds them.
        """
        if {_identity(model) for model in models} != {_identity(model) for model in self.backend.models}:
            self._learned.clear()
            self._corrected.clear()
        offered = {bare(model.id) for model in models}
        for key in [key for key, stats in self._pairs.items() if key not in offered and not stats.in_flight]:
            del self._pairs[key]

    def loaded(self) -> None:
        """Leave no pair alone any longer because it was loading: the server says that it is up."""
        for stats in self._pairs.values():
            stats.loaded()

    def learn_false(self, key: str, capability: str) -> bool:
        """Note that the pair lacks ``capability``; return whether that was news."""
        learned = self._learned.get(key, frozenset())
        if key not in self.candidates or capability in learned:
            return False
        self._learned[key] = learned | {capability}
        return True

    def correct_context(self, key: str, context_length: int) -> bool:
        """Note the pair's true context in tokens; return whether that was news.

        It holds until the server reports something else than it did when it was corrected.
        """
        candidate = self.candidates.get(key)
        if candidate is None or candidate.context_length == context_length or context_length <= 0:
            return False
        reported = next(model.context_length for model in self.backend.models if bare(model.id) == key)
        self._corrected[key] = (reported, context_length)
        return True

    def rebuild(self, *, keyed_allowed: bool) -> None:
        """Make the candidates anew from the backend as it is now."""
        backend = self.backend
        rotation = (
            backend.status is BackendStatus.HEALTHY
            and not backend.draining
            and (keyed_allowed or backend.spec.key is None)
        )
        models: dict[str, Model] = {}
        for model in backend.models:
            key = bare(model.id)
            if key not in models or model.id == key:
                models[key] = model
        self.candidates = {key: self._candidate(key, model, rotation) for key, model in models.items()}

    def _candidate(self, key: str, model: Model, rotation: bool) -> Candidate:
        corrected = self._corrected.get(key)
        if corrected is not None and corrected[0] == model.context_length:
            model = replace(model, context_length=corrected[1])
        stats = self._pairs.get(key)
        if stats is None:
            stats = self._pairs[key] = PairStats(self._unrest)
        # Of two ways to one model, the longer one costs every gateway on it.
        priority = self.backend.spec.priority + len(model.via)
        learned = self._learned.get(key, frozenset())
        flags = {name: getattr(model.capabilities, name) for name in CAPABILITY_NAMES}
        missing = learned | {name for name, flag in flags.items() if flag is False}
        surfaces = {name for name in self.backend.surfaces if f"surface:{name}" not in learned}
        if "chat" in missing:
            surfaces -= _CHAT_SURFACES
        return Candidate(
            backend=self.backend,
            model=model,
            key=key,
            order=self.order,
            load=self.load,
            stats=stats,
            known_false=missing,
            known_true=frozenset(name for name, flag in flags.items() if flag and name not in learned),
            surfaces=frozenset(surfaces),
            in_rotation=rotation,
            priority=priority,
            preferred=max(0, 100 - priority) / 100,
            slots=max(1, self.backend.slots),
            context_length=model.context_length,
        )


def _identity(model: Model) -> Model:
    return replace(model, loaded=None, context_length=None, context_assumed=None)


def respecified(old: Backend, new: Backend, *, typed: bool) -> Backend:
    """Return ``new``, with what checks found at ``old`` where it is the same server.

    Args:
        old: as registered so far.
        new: not checked yet.
        typed: somebody named the dialect of ``new``.
    """
    same = (old.spec.origin, old.spec.key) == (new.spec.origin, new.spec.key)
    if not same or (typed and old.type is not new.type):
        return new
    reported = old.spec.slots is None and new.spec.slots is None
    return replace(old, spec=new.spec, slots=old.slots if reported else new.slots)
