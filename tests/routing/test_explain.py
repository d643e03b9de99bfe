"""An explanation says all that was weighed, and says it still when everything has moved on."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.fleet import add, model, pair, registry
from tests.routing.test_ranking import NOW, fleets, wishes

from nexus.domain import BackendStatus, Explanation, Requirements, RoutingRules, Strategy
from nexus.registry import Registry
from nexus.routing import Decision, decide, explain

CHAT = Requirements(surface="chat", model="llama3")


def why(target: Registry, wish: Requirements = CHAT, tried: frozenset[str] = frozenset()) -> Explanation:
    return explain(decide(target.snapshot, wish, NOW, Random(1), tried))


@given(fleets, wishes, st.integers())
def test_everybody_is_named_once_and_scores_add_up(target: Registry, wish: Requirements, seed: int) -> None:
    decided = decide(target.snapshot, wish, NOW, Random(seed))
    told = explain(decided)
    assert sorted(one.backend for one in told.candidates) == sorted(
        one.backend.name for one in target.by_model("x")
    )
    assert all(bool(one.rejections) == (one.rank is None) for one in told.candidates)
    ranks = [one.rank for one in told.candidates if one.rank is not None]
    assert ranks == list(range(1, len(ranks) + 1))
    for one in told.candidates:
        if one.terms is not None:
            assert one.score == pytest.approx(one.terms.priority + one.terms.load + one.terms.latency)
    if isinstance(decided, Decision):
        assert [one.backend for one in told.candidates if one.chosen] == [decided.candidate.backend.name]
    else:
        assert told.refusal
        assert not told.model


@given(fleets, wishes, st.integers())
def test_what_happens_later_changes_nothing(target: Registry, wish: Requirements, seed: int) -> None:
    decided = decide(target.snapshot, wish, NOW, Random(seed))
    then = explain(decided)
    for candidate in target.by_model("x"):
        candidate.load.in_flight += 3
        candidate.stats.first_byte = 9.0
        candidate.stats.busy(NOW, 60.0, loading=False)
        candidate.stats.rest(NOW, "it failed")
    assert explain(decided) == then


def test_terms_say_what_made_the_difference() -> None:
    target = registry()
    add(target, "far")
    add(target, "near")
    pair(target, "far").stats.first_byte = 0.4
    pair(target, "near").stats.first_byte = 0.1
    near, far = why(target).candidates
    assert (near.backend, near.rank, near.chosen) == ("near", 1, True)
    assert near.terms is not None
    assert far.terms is not None
    assert [near.terms.latency, far.terms.latency] == pytest.approx([20.0, 5.0])
    assert (far.first_byte_seconds, far.in_flight, far.chosen) == (0.4, 0, False)


def test_a_refused_one_names_policy_code_and_remedy() -> None:
    target = registry()
    add(target, "small", [model("llama3", 512)])
    add(target, "large", [model("llama3", 8192)])
    add(target, "down")
    target.update("down", status=BackendStatus.UNHEALTHY, reason="connection refused")
    told = why(target, Requirements(surface="chat", model="llama3", text_bytes=9000))
    assert (told.model, told.reason) == ("llama3", "capability-match")
    by_name = {one.backend: one for one in told.candidates}
    (small,) = by_name["small"].rejections
    assert (small.policy, small.code, small.kind) == ("context_length", "context_length", "final")
    assert "512 tokens" in small.message
    (down,) = by_name["down"].rejections
    assert down.policy == "rotation"
    assert "connection refused" in down.message


def test_who_was_tried_before_is_named_as_such() -> None:
    target = registry()
    add(target, "a")
    add(target, "b")
    told = why(target, tried=frozenset({"a"}))
    assert [(one.backend, one.rank, one.tried) for one in told.candidates] == [
        ("b", 1, False),
        ("a", None, True),
    ]
    assert told.reason == "failover"
    nobody = why(target, tried=frozenset({"a", "b"}))
    assert nobody.refusal == "Every backend that could serve it was tried."
    assert [one.tried for one in nobody.candidates] == [True, True]


def test_a_fallback_tells_of_the_model_before_it() -> None:
    target = registry(rules=RoutingRules(fallbacks={"llama3": ("qwen",)}))
    add(target, "a")
    add(target, "b", [model("qwen")])
    target.update("a", status=BackendStatus.UNHEALTHY)
    told = why(target)
    assert (told.chain, told.model, told.fallback) == (("llama3", "qwen"), "qwen", True)
    assert [(one.backend, one.model, bool(one.rejections)) for one in told.candidates] == [
        ("b", "qwen", False),
        ("a", "llama3", True),
    ]


@pytest.mark.parametrize("strategy", [one for one in Strategy if one is not Strategy.SMART])
def test_only_smart_has_terms(strategy: Strategy) -> None:
    target = registry(rules=RoutingRules(strategy=strategy))
    add(target, "a")
    (only,) = why(target).candidates
    assert (only.rank, only.terms) == (1, None)
    assert why(target).strategy == strategy.value


def test_an_unknown_name_is_said_to_be_one() -> None:
    told = why(registry())
    assert (told.candidates, told.model) == ((), "")
    assert told.refusal == "No backend has had a model named 'llama3'."
