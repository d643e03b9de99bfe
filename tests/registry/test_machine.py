"""Any order of everything that may happen to a registry, leases over removals included."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.registry.fleet import SURFACES, ManualClock, spec

from nexus.domain import BackendStatus, FailureKind, Model, RoutingRules
from nexus.registry import Candidate, Lease, Registry, bare

EXAMPLES: Final = 55
STEPS: Final = 40
OPERATIONS: Final = 50
"""Operations in each step, drawn as one string of bytes: over 100,000 in all, each followed by a
check of every invariant."""

BACKENDS: Final = ("a", "b", "c", "d")
MODELS: Final = ("x", "x:latest", "y", "z:7b")
STATUSES: Final = tuple(BackendStatus)
KINDS: Final = (None, FailureKind.RESET, FailureKind.BUSY, FailureKind.CLIENT_CLOSED, FailureKind.CANCELLED)
LISTS: Final = tuple(
    tuple(Model(name, name, context_length=context) for at, name in enumerate(MODELS) if bits >> at & 1)
    for bits in range(16)
    for context in (None, 4096)
)


class RegistryMachine(RuleBasedStateMachine):
    """The model is as simple as can be: which backends are there, and which leases are open."""

    operations_run = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.registry = Registry(self.clock)
        self.present: set[str] = set()
        self.open: list[tuple[Lease, ExitStack]] = []
        self.seen: dict[int, Candidate] = {}
        self.late: set[int] = set()
        self.leased = 0
        self.version = 0
        self.operations = (
            (self.register,) * 3
            + (self.remove, self.drain, self.swap_rules, self.pause)
            + (self.status, self.learn) * 2
            + (self.models, self.enter) * 5
            + (self.leave,) * 4
        )

    @rule(script=st.binary(min_size=2 * OPERATIONS, max_size=2 * OPERATIONS))
    def run(self, script: bytes) -> None:
        for at in range(0, len(script), 2):
            self.operations[script[at] % len(self.operations)](script[at + 1])
            self.check()
        RegistryMachine.operations_run += len(script) // 2

    def register(self, choice: int) -> None:
        name = BACKENDS[choice % 4]
        key = "k" if choice & 64 else None
        self.registry.register(spec(name, priority=choice, key=key), slots=1 + choice % 3, surfaces=SURFACES)
        self.present.add(name)

    def remove(self, choice: int) -> None:
        name = BACKENDS[choice % 4]
        assert self.registry.remove(name) is (name in self.present)
        self.present.discard(name)

    def status(self, choice: int) -> None:
        self.registry.update(BACKENDS[choice % 4], status=STATUSES[choice // 4 % len(STATUSES)], reason="r")

    def models(self, choice: int) -> None:
        self.registry.update(BACKENDS[choice % 4], models=LISTS[choice // 4 % len(LISTS)])

    def drain(self, choice: int) -> None:
        self.registry.set_draining(BACKENDS[choice % 4], draining=bool(choice & 4))

    def learn(self, choice: int) -> None:
        if (candidate := self.candidate(choice)) is None:
            return
        now = self.clock.now()
        if choice & 1:
            self.registry.learn_false(candidate, ("tools", "surface:chat")[choice >> 1 & 1])
        elif choice & 2:
            self.registry.correct_context(candidate, 100 + choice)
        else:
            self.registry.busy(candidate, now, None if choice & 4 else choice, loading=False)
            self.registry.rest(candidate, now, "r")

    def swap_rules(self, choice: int) -> None:
        self.registry.set_rules(
            RoutingRules(route_keyed_backends=bool(choice & 1), aliases={"alias": MODELS[choice % 4]})
        )

    def pause(self, choice: int) -> None:
        self.clock.time += choice / 10

    def enter(self, choice: int) -> None:
        candidate = self.candidate(choice)
        if candidate is None or len(self.open) > 20:
            return
        stack = ExitStack()
        lease = stack.enter_context(self.registry.lease(candidate))
        self.open.append((lease, stack))
        if candidate is not self.registry.snapshot.offers.get(candidate.backend.id, {}).get(candidate.key):
            self.late.add(id(lease))
        self.seen[id(candidate)] = candidate
        self.leased += 1

    def leave(self, choice: int) -> None:
        if not self.open:
            return
        lease, stack = self.open.pop(choice % len(self.open))
        lease.first_byte_at = self.clock.now()
        if (kind := KINDS[choice % len(KINDS)]) is not None:
            lease.fail(kind)
        stack.close()
        self.late.discard(id(lease))
        assert lease.attempt.failure is kind

    def candidate(self, choice: int) -> Candidate | None:
        """Return one from the newest snapshot, or an old one: decisions may be late."""
        if choice & 128 and self.seen:
            return list(self.seen.values())[choice % len(self.seen)]
        entry = self.registry.by_model(MODELS[choice % 4])
        return entry[choice // 4 % len(entry)] if entry else None

    def check(self) -> None:
        snapshot = self.registry.snapshot
        assert snapshot.version >= self.version
        self.version = snapshot.version
        assert snapshot.backends.keys() == snapshot.offers.keys() == self.present
        offered = {
            (bare(model.id), backend.id) for backend in snapshot.backends.values() for model in backend.models
        }
        indexed = [
            (key, candidate.backend.id) for key, entry in snapshot.index.items() for candidate in entry
        ]
        assert len(indexed) == len(offered)
        assert set(indexed) == offered
        held = Counter(
            (id(lease.candidate.load), lease.candidate.key)
            for lease, _ in self.open
            if id(lease) not in self.late
        )
        for key, entry in snapshot.index.items():
            assert entry
            for candidate in entry:
                assert candidate.backend is snapshot.backends[candidate.backend.id]
                assert candidate is snapshot.offers[candidate.backend.id][key]
                assert 0 <= held[id(candidate.load), key] <= candidate.stats.in_flight
        assert snapshot.index.keys() <= snapshot.known_models
        for lease, _ in self.open:
            assert lease.candidate.load.in_flight > 0
            assert lease.candidate.stats.in_flight > 0

    @invariant()
    def nobody_is_busy_or_rests_longer_than_the_registry_says(self) -> None:
        until = self.registry.snapshot.unrest.until
        for candidate in self.seen.values():
            assert candidate.stats.busy_until <= until
            assert candidate.stats.resting_until <= until

    @invariant()
    def open_leases_are_what_is_in_flight(self) -> None:
        loads = {id(candidate.load): candidate.load for candidate in self.seen.values()}
        pairs = {id(candidate.stats): candidate.stats for candidate in self.seen.values()}
        assert sum(load.in_flight for load in loads.values()) == len(self.open)
        assert sum(stats.in_flight for stats in pairs.values()) == len(self.open)
        assert min((load.in_flight for load in loads.values()), default=0) >= 0
        assert sum(load.attempts for load in loads.values()) == self.leased

    def teardown(self) -> None:
        for _, stack in self.open:
            stack.close()
        for candidate in self.seen.values():
            assert candidate.load.in_flight == 0
            assert candidate.stats.in_flight == 0
        for view in self.registry.views():
            assert view.in_flight == 0
            assert all(pair.in_flight == 0 for pair in view.models)


def test_any_order_of_100_000_operations_keeps_index_and_counters_right() -> None:
    RegistryMachine.operations_run = 0
    run_state_machine_as_test(
        RegistryMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert RegistryMachine.operations_run >= 100_000
