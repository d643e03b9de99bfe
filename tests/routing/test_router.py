from __future__ import annotations

from random import Random

import pytest
from tests.registry.fleet import add, model, pair, registry

from nexus.domain import BackendStatus, RejectionKind, Requirements, RouteReason, RoutingRules, Strategy
from nexus.registry import Registry
from nexus.routing import Decision, Refusal, decide

NOW = 100.0
CHAT = Requirements(surface="chat", model="llama3")


def ask(
    target: Registry, wish: Requirements | str = CHAT, *, tried: frozenset[str] = frozenset(), seed: int = 1
) -> Decision | Refusal:
    if isinstance(wish, str):
        wish = Requirements(surface="chat", model=wish)
    return decide(target.snapshot, wish, NOW, Random(seed), tried)


def chosen(
    target: Registry, wish: Requirements | str = CHAT, *, tried: frozenset[str] = frozenset()
) -> Decision:
    result = ask(target, wish, tried=tried)
    assert isinstance(result, Decision), result
    return result


def refused(
    target: Registry, wish: Requirements | str = CHAT, *, tried: frozenset[str] = frozenset()
) -> Refusal:
    result = ask(target, wish, tried=tried)
    assert isinstance(result, Refusal), result
    return result


def ranked(decision: Decision) -> list[str]:
    return [candidate.backend.name for candidate in decision.ranking]


def test_the_idle_one_is_chosen() -> None:
    target = registry()
    add(target, "a")
    add(target, "b")
    with target.lease(pair(target, "a")):
        decision = chosen(target)
    assert ranked(decision) == ["b", "a"]
    assert decision.candidate is decision.ranking[0] is pair(target, "b")
    assert (decision.requested, decision.model) == ("llama3", "llama3")
    assert (decision.fallback, decision.pinned) == (False, False)
    assert decision.reason is RouteReason.CAPABILITY_MATCH
    assert decision.scores == (75.0, 67.5)


def test_a_quiet_fleet_is_used_evenly() -> None:
    target = registry()
    for name in "abc":
        add(target, name)
    rng = Random(5)
    counts = dict.fromkeys("abc", 0)
    for _ in range(3000):
        decision = decide(target.snapshot, CHAT, NOW, rng)
        assert isinstance(decision, Decision)
        counts[decision.candidate.backend.name] += 1
    assert all(900 < count < 1100 for count in counts.values())


def test_tried_backends_are_left_out_and_it_is_a_failover() -> None:
    target = registry()
    add(target, "a", priority=1)
    add(target, "b")
    decision = chosen(target, tried=frozenset({"a"}))
    assert (ranked(decision), decision.reason) == (["b"], RouteReason.FAILOVER)
    refusal = refused(target, tried=frozenset({"a", "b"}))
    assert (refusal.known, refusal.rejections, refusal.retry_after) == (True, (), None)


def test_fallbacks_serve_when_the_model_cannot() -> None:
    target = registry(rules=RoutingRules(fallbacks={"llama3": ("gone", "qwen", "phi")}))
    add(target, "a", ["llama3"], status=BackendStatus.UNHEALTHY)
    add(target, "b", ["qwen"])
    add(target, "c", ["phi"])
    decision = chosen(target)
    assert (decision.model, decision.fallback, ranked(decision)) == ("qwen", True, ["b"])
    decision = chosen(target, tried=frozenset({"b"}))
    assert (decision.model, ranked(decision)) == ("phi", ["c"])
    refusal = refused(target, tried=frozenset({"b", "c"}))
    assert refusal.chain == ("llama3", "gone", "qwen", "phi")
    assert [(name, served, why.code) for name, served, why in refusal.rejections] == [
        ("a", "llama3", "unhealthy")
    ]


def test_a_pin_never_fails_over() -> None:
    target = registry(rules=RoutingRules(fallbacks={"llama3": ("phi",)}))
    add(target, "a")
    add(target, "b", ["llama3", "phi"])
    decision = chosen(target, "a/llama3")
    assert (ranked(decision), decision.pinned, decision.model) == (["a"], True, "llama3")
    refusal = refused(target, "a/llama3", tried=frozenset({"a"}))
    assert refusal.known


def test_a_name_that_no_backend_has_had_is_not_known() -> None:
    target = registry(rules=RoutingRules(aliases={"gpt-4": "llama3"}))
    add(target, "a", ["llama3", "qwen2:72b"])
    refusal = refused(target, "lama3")
    assert (refusal.known, refusal.requested) == (False, "lama3")
    assert refusal.nearest[0] == "llama3"
    target.remove("a")
    assert refused(target, "llama3").known
    assert refused(target, "llama3:latest").known
    assert refused(target, "gpt-4").known
    assert refused(target, "llama3").nearest == ()


def test_every_rule_that_every_candidate_failed_is_told() -> None:
    target = registry()
    add(target, "a", [model("llama3", 10, vision=False)], status=BackendStatus.UNHEALTHY)
    add(target, "b", [model("llama3", tools=False)], surfaces=frozenset({"embeddings"}))
    wish = Requirements(surface="chat", model="llama3", text_bytes=600, vision=True, tools=True)
    refusal = refused(target, wish)
    assert [(name, why.code, why.kind) for name, _, why in refusal.rejections] == [
        ("a", "context_length", RejectionKind.FINAL),
        ("a", "vision", RejectionKind.FINAL),
        ("a", "unhealthy", RejectionKind.TRANSIENT),
        ("b", "surface", RejectionKind.FINAL),
        ("b", "tools", RejectionKind.FINAL),
    ]
    assert all(why.message.endswith(".") and repr(name) in why.message for name, _, why in refusal.rejections)


def test_retry_after_is_the_first_of_those_that_are_merely_busy() -> None:
    target = registry()
    for name, seconds in (("a", 20), ("b", 10)):
        add(target, name)
        target.busy(pair(target, name), NOW, seconds, loading=name == "b")
    add(target, "blind", [model("llama3", vision=False)])
    target.busy(pair(target, "blind"), NOW, 1, loading=False)
    add(target, "down", status=BackendStatus.UNHEALTHY)
    target.busy(pair(target, "down"), NOW, 2, loading=False)
    add(target, "starts", status=BackendStatus.LOADING)
    target.busy(pair(target, "starts"), NOW, 3, loading=True)
    refusal = refused(target, Requirements(surface="chat", model="llama3", vision=True))
    assert refusal.retry_after == 10
    codes = [(name, why.code) for name, _, why in refusal.rejections]
    assert codes == [
        ("a", "busy"),
        ("b", "loading"),
        ("blind", "vision"),
        ("blind", "busy"),
        ("down", "unhealthy"),
        ("starts", "loading"),
    ]


def test_known_true_ranks_before_unknown_and_resting_last() -> None:
    target = registry()
    add(target, "unknown", [model("llama3")], priority=0)
    add(target, "sure", [model("llama3", vision=True)], priority=90)
    add(target, "resting", [model("llama3", vision=True)], priority=0)
    target.rest(pair(target, "resting"), NOW, "HTTP 500")
    wish = Requirements(surface="chat", model="llama3", vision=True)
    assert ranked(chosen(target, wish)) == ["sure", "unknown", "resting"]
    assert ranked(chosen(target)) == ["unknown", "sure", "resting"]


def test_a_resting_fleet_still_serves() -> None:
    target = registry()
    add(target, "a")
    target.rest(pair(target, "a"), NOW, "HTTP 500")
    assert ranked(chosen(target)) == ["a"]


@pytest.mark.parametrize("state", ["full", "busy", "idle", "busy and blind", "full but equal", "down"])
def test_overflow_is_when_somebody_preferred_is_full_or_busy(state: str) -> None:
    target = registry(rules=RoutingRules(strategy=Strategy.SMART))
    add(
        target,
        "first",
        [model("llama3", vision=False) if "blind" in state else "llama3"],
        priority=50 if "equal" in state else 40,
        slots=1,
        status=BackendStatus.UNHEALTHY if state == "down" else BackendStatus.HEALTHY,
    )
    add(target, "second", slots=1)
    first = pair(target, "first")
    if "busy" in state:
        target.busy(first, NOW, 5, loading=False)
    if state == "down":
        target.busy(first, NOW, 5, loading=False)
    wish = Requirements(surface="chat", model="llama3", vision="blind" in state)
    if "full" in state:
        with target.lease(first):
            decision = chosen(target, wish)
    else:
        decision = chosen(target, wish)
    overflow = state in {"full", "busy"}
    assert decision.candidate.backend.name == ("first" if state == "idle" else "second")
    assert decision.reason is (RouteReason.CAPACITY_OVERFLOW if overflow else RouteReason.CAPABILITY_MATCH)


def test_latest_is_served_by_every_spelling() -> None:
    target = registry()
    add(target, "ollama", ["llama3:latest"])
    add(target, "vllm", ["llama3"])
    decision = chosen(target, "llama3:latest")
    assert sorted(ranked(decision)) == ["ollama", "vllm"]
    assert {candidate.model.native_id for candidate in decision.ranking} == {
        "native/llama3:latest",
        "native/llama3",
    }


def test_one_decision_sees_one_configuration() -> None:
    target = registry()
    add(target, "a")
    add(target, "b")
    before = target.snapshot
    target.set_draining("a", draining=True)
    target.set_rules(RoutingRules(strategy=Strategy.PRIORITY_ONLY))
    old = decide(before, CHAT, NOW, Random(1))
    assert isinstance(old, Decision)
    assert len(old.ranking) == 2
    assert ranked(chosen(target)) == ["b"]
