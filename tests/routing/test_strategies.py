from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.fleet import add, pair, registry

from nexus.domain import Requirements, RoutingRules, Strategy, Weights
from nexus.registry import Candidate, Registry
from nexus.routing import STRATEGIES, Decision, decide
from nexus.routing.strategies import smart

CHAT = Requirements(surface="chat", model="llama3")

weights = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(
    lambda cut: Weights(min(cut), max(cut) - min(cut), 100 - max(cut))
)
times = st.none() | st.floats(0.0, 1000.0)
members = st.tuples(st.integers(0, 150), st.integers(0, 12), st.integers(1, 8), times)


def fleet(
    states: list[tuple[int, int, int, float | None]], rules: RoutingRules | None = None
) -> list[Candidate]:
    target = registry(rules=rules)
    for number, (priority, in_flight, slots, first_byte) in enumerate(states):
        add(target, f"b{number}", priority=priority, slots=slots)
        candidate = pair(target, f"b{number}")
        candidate.load.in_flight = in_flight
        candidate.stats.first_byte = first_byte
    return list(target.by_model("llama3"))


def scores(candidates: list[Candidate], shares: Weights) -> list[float]:
    return [-cost for cost in smart(shares).costs(candidates)]


def test_every_strategy_has_a_function() -> None:
    assert set(STRATEGIES) == set(Strategy)


def test_the_score_is_the_formula() -> None:
    candidates = fleet([(10, 1, 4, 0.5), (50, 0, 1, None), (120, 9, 4, 2.0), (0, 0, 1, 1.0)])
    assert scores(candidates, Weights()) == pytest.approx(
        [
            (50 * 90 + 30 * 75 + 20 * 100) / 100,
            (50 * 50 + 30 * 100 + 20 * 50) / 100,
            (50 * 0 + 30 * 0 + 20 * 25) / 100,
            (50 * 100 + 30 * 100 + 20 * 50) / 100,
        ]
    )


def test_unmeasured_times_are_the_median_of_the_others() -> None:
    def latencies(*samples: float | None) -> list[float]:
        return scores(fleet([(50, 0, 1, sample) for sample in samples]), Weights(0, 0, 100))

    assert latencies(None, None) == [100.0, 100.0]
    assert latencies(1.0, None, 4.0, 2.0) == [100.0, 50.0, 25.0, 50.0]
    assert latencies(0.0, 0.0, 1.0, None) == [100.0, 100.0, 0.0, 100.0]


@given(st.lists(members, min_size=1, max_size=8), weights)
def test_the_score_stays_inside_its_range(
    states: list[tuple[int, int, int, float | None]], shares: Weights
) -> None:
    assert all(0.0 <= score <= 100.0 for score in scores(fleet(states), shares))


@given(st.lists(members, min_size=1, max_size=5), weights, st.data())
def test_the_score_is_monotone_in_each_input(
    states: list[tuple[int, int, int, float | None]], shares: Weights, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(states) - 1))
    which = data.draw(st.sampled_from(["priority", "in_flight", "slots", "first_byte"]))
    priority, in_flight, slots, first_byte = states[at]
    if which == "first_byte" and first_byte is None:
        first_byte = 1.0
        states[at] = (priority, in_flight, slots, first_byte)
    worse = {
        "priority": (priority + data.draw(st.integers(1, 50)), in_flight, slots, first_byte),
        "in_flight": (priority, in_flight + data.draw(st.integers(1, 5)), slots, first_byte),
        "slots": (priority, in_flight, slots + data.draw(st.integers(1, 5)), first_byte),
        "first_byte": (priority, in_flight, slots, (first_byte or 0.0) + data.draw(st.floats(0.0, 10.0))),
    }[which]
    before = scores(fleet(states), shares)
    after = scores(fleet([*states[:at], worse, *states[at + 1 :]]), shares)
    if which == "slots":
        before, after = after, before
    assert after[at] <= before[at]


@given(st.lists(members, min_size=2, max_size=8))
def test_ties_go_to_fewer_in_flight_per_slot(states: list[tuple[int, int, int, float | None]]) -> None:
    shares = Weights(priority=100, load=0, latency=0)
    level = [(50, in_flight, slots, first_byte) for _, in_flight, slots, first_byte in states]
    candidates = fleet(level, RoutingRules(weights=shares))
    assert len(set(smart(shares).costs(candidates))) == 1
    loads = [in_flight / slots for _, in_flight, slots, _ in level]
    assert [column(candidates) for column in smart(shares).ties] == [loads]


def serve(target: Registry, rng: Random, tried: frozenset[str] = frozenset()) -> str:
    decision = decide(target.snapshot, CHAT, 100.0, rng, tried)
    assert isinstance(decision, Decision)
    with target.lease(decision.candidate):
        return decision.candidate.backend.name


@given(st.integers(1, 7), st.integers(1, 5), st.randoms(use_true_random=False))
def test_round_robin_is_exact(count: int, rounds: int, rng: Random) -> None:
    target = registry(rules=RoutingRules(strategy=Strategy.ROUND_ROBIN))
    for number in range(count):
        add(target, f"b{number}")
    served = [serve(target, rng) for _ in range(count * rounds)]
    assert served == [f"b{number}" for number in range(count)] * rounds


def test_round_robin_stays_exact_when_the_set_changes() -> None:
    target = registry(rules=RoutingRules(strategy=Strategy.ROUND_ROBIN))
    for name in "abc":
        add(target, name)
    rng = Random(1)
    assert [serve(target, rng) for _ in range(4)] == ["a", "b", "c", "a"]
    target.set_draining("b", draining=True)
    assert [serve(target, rng) for _ in range(3)] == ["c", "a", "c"]
    target.set_draining("b", draining=False)
    add(target, "d")
    assert [serve(target, rng) for _ in range(4)] == ["d", "b", "a", "c"]
    assert serve(target, rng, frozenset({"d", "b"})) == "a"
    assert Counter(serve(target, rng) for _ in range(400)) == dict.fromkeys("abcd", 100)


def test_round_robin_turns_are_each_models_own() -> None:
    target = registry(rules=RoutingRules(strategy=Strategy.ROUND_ROBIN))
    add(target, "a", ["llama3", "phi"])
    add(target, "b", ["llama3", "phi"])
    rng = Random(1)
    with target.lease(pair(target, "a", "phi")):
        pass
    assert [serve(target, rng) for _ in range(3)] == ["a", "b", "a"]


def test_priority_only_prefers_the_lowest_number_then_the_idlest() -> None:
    target = registry(rules=RoutingRules(strategy=Strategy.PRIORITY_ONLY))
    add(target, "far", priority=2)
    add(target, "near", priority=1, slots=1)
    add(target, "nearer", priority=1, slots=2)
    with target.lease(pair(target, "near")), target.lease(pair(target, "nearer")):
        decision = decide(target.snapshot, CHAT, 100.0, Random(1))
    assert isinstance(decision, Decision)
    assert [candidate.backend.name for candidate in decision.ranking] == ["nearer", "near", "far"]


def test_random_reaches_everyone() -> None:
    target = registry(rules=RoutingRules(strategy=Strategy.RANDOM))
    for name in "abc":
        add(target, name, priority=ord(name) - 97)
    rng = Random(1)
    counts = Counter(serve(target, rng) for _ in range(3000))
    assert all(900 < counts[name] < 1100 for name in "abc")
