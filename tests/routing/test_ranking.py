"""Properties of whole decisions over random fleets."""

from __future__ import annotations

from itertools import permutations
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.registry.fleet import registry, spec

from nexus.domain import (
    BackendStatus,
    BackendType,
    Capabilities,
    Model,
    Requirements,
    RoutingRules,
    Secret,
    Strategy,
    replace,
)
from nexus.registry import Registry
from nexus.routing import POLICIES, Decision, decide
from nexus.routing.policies import judge_context

NOW = 100.0
flags = st.sampled_from([None, True, False])
capabilities = st.builds(Capabilities, vision=flags, tools=flags, json=flags, embeddings=flags)
members = st.fixed_dictionaries(
    {
        "status": st.sampled_from([BackendStatus.HEALTHY] * 5 + list(BackendStatus)),
        "draining": st.sampled_from([False, False, False, True]),
        "key": st.sampled_from([None, None, "k"]),
        "surfaces": st.sampled_from(
            [frozenset({"chat"}), frozenset({"chat", "embeddings"}), frozenset({"embeddings"})]
        ),
        "context": st.sampled_from([None, None, 100, 8192]),
        "capabilities": capabilities,
        "priority": st.integers(0, 3),
        "in_flight": st.integers(0, 3),
        "busy": st.sampled_from([0.0, 0.0, 0.0, 5.0]),
        "resting": st.booleans(),
    }
)
wishes = st.builds(
    Requirements,
    surface=st.sampled_from(["chat", "chat", "embeddings"]),
    model=st.just("x"),
    text_bytes=st.sampled_from([10, 10, 5000]),
    max_tokens=st.sampled_from([None, 90, 9000]),
    context_above=st.sampled_from([None, None, None, 4096]),
    vision=st.booleans(),
    tools=st.booleans(),
    json=st.booleans(),
    embeddings=st.booleans(),
)
rules = st.builds(RoutingRules, strategy=st.sampled_from(list(Strategy)), route_keyed_backends=st.booleans())


def fleet(states: list[dict[str, object]], configured: RoutingRules) -> Registry:
    target = registry(rules=configured)
    for number, state in enumerate(states):
        name = f"b{number}"
        key = state["key"]
        own = replace(spec(name, priority=int(str(state["priority"]))), key=Secret(str(key)) if key else None)
        target.register(own, type=BackendType.VLLM, slots=2, counts_max_tokens=number % 2 == 0)
        model = Model("x", "x", context_length=state["context"], capabilities=state["capabilities"])  # type: ignore[arg-type]
        target.update(name, status=state["status"], models=(model,), surfaces=state["surfaces"])  # type: ignore[arg-type]
        target.set_draining(name, draining=bool(state["draining"]))
        candidate = target.snapshot.offers[name]["x"]
        candidate.load.in_flight = int(str(state["in_flight"]))
        if state["busy"]:
            target.busy(candidate, NOW, 5.0, loading=False)
        if state["resting"]:
            target.rest(candidate, NOW, "r")
    return target


fleets = st.builds(fleet, st.lists(members, max_size=6), rules)


def admissible(target: Registry, wish: Requirements, tried: frozenset[str]) -> set[str]:
    context = judge_context(wish, NOW)
    return {
        candidate.backend.id
        for candidate in target.by_model("x")
        if candidate.backend.id not in tried
        and all(policy.judge(context, candidate) is None for policy in POLICIES if policy.applies(wish))
    }


@given(fleets, wishes, st.frozensets(st.sampled_from(["b0", "b1", "b2"])), st.integers())
def test_each_survivor_is_ranked_once_and_nobody_else(
    target: Registry, wish: Requirements, tried: frozenset[str], seed: int
) -> None:
    result = decide(target.snapshot, wish, NOW, Random(seed), tried)
    expected = admissible(target, wish, tried)
    if not isinstance(result, Decision):
        assert not expected
        return
    ranking = [candidate.backend.id for candidate in result.ranking]
    if not expected:
        # Only an estimate stood against them, and nobody else has more context.
        assert len({candidate.context_length for candidate in result.ranking}) == 1
        return
    assert sorted(ranking) == sorted(expected)
    assert len(result.scores) == len(ranking)
    assert result.candidate is result.ranking[0]
    resting = [candidate.stats.resting_until > NOW for candidate in result.ranking]
    assert resting == sorted(resting)


@given(fleets, wishes, st.integers())
def test_somebody_else_who_is_busy_changes_nothing(target: Registry, wish: Requirements, seed: int) -> None:
    later = target.snapshot.unrest.until
    results = [decide(target.snapshot, wish, later, Random(seed))]
    target.snapshot.unrest.until = later + 1
    results.append(decide(target.snapshot, wish, later, Random(seed)))
    names = ("ranking", "scores", "reason", "rejections")
    known, asked = ([getattr(result, name, None) for name in names] for result in results)
    assert known == asked


@given(fleets, wishes, st.integers(), st.randoms(use_true_random=False))
def test_the_order_of_policies_changes_nothing(
    target: Registry, wish: Requirements, seed: int, shuffler: Random
) -> None:
    shuffled = list(POLICIES)
    shuffler.shuffle(shuffled)
    usual = decide(target.snapshot, wish, NOW, Random(seed))
    other = decide(target.snapshot, wish, NOW, Random(seed), policies=shuffled)
    if isinstance(usual, Decision):
        assert isinstance(other, Decision)
        assert (usual.ranking, usual.scores, usual.reason) == (other.ranking, other.scores, other.reason)
    else:
        names = ("requested", "chain", "known", "nearest", "rejections", "retry_after")
        assert [getattr(usual, name) for name in names] == [getattr(other, name) for name in names]


@given(st.permutations(range(4)), st.integers())
def test_the_order_of_registration_changes_no_ranking_without_ties(order: list[int], seed: int) -> None:
    target = registry()
    for number in order:
        name = f"b{number}"
        target.register(spec(name, priority=number), surfaces=frozenset({"chat"}))
        target.update(name, status=BackendStatus.HEALTHY, models=(Model("x", "x"),))
    result = decide(target.snapshot, Requirements(surface="chat", model="x"), NOW, Random(seed))
    assert isinstance(result, Decision)
    assert [candidate.backend.id for candidate in result.ranking] == ["b0", "b1", "b2", "b3"]


def test_ties_are_broken_in_every_order() -> None:
    target = registry()
    for name in "abc":
        target.register(spec(name), surfaces=frozenset({"chat"}))
        target.update(name, status=BackendStatus.HEALTHY, models=(Model("x", "x"),))
    rng = Random(3)
    seen = set()
    for _ in range(200):
        result = decide(target.snapshot, Requirements(surface="chat", model="x"), NOW, rng)
        assert isinstance(result, Decision)
        seen.add("".join(candidate.backend.id for candidate in result.ranking))
    assert seen == {"".join(order) for order in permutations("abc")}
