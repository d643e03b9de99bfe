from __future__ import annotations

import random

from tests.registry.fleet import ManualClock, add, model, registry

from nexus.domain import BackendType, Model, Requirements, RoutingRules, replace
from nexus.registry import Registry
from nexus.routing.decision import Decision, Refusal
from nexus.routing.router import decide

NOW = ManualClock().now()


def behind(name: str, *via: str) -> Model:
    return replace(model(name), via=via)


def ask(target: Registry, *passed: str, name: str = "llama3") -> Decision | Refusal:
    needs = Requirements(surface="chat", model=name, passed=passed)
    return decide(target.snapshot, needs, NOW, random.Random(1))


def names(decision: Decision | Refusal) -> set[str]:
    assert isinstance(decision, Decision)
    return {candidate.backend.name for candidate in decision.ranking}


def test_a_request_never_goes_back_the_way_it_came() -> None:
    target = registry()
    add(target, "own")
    add(target, "near", [behind("llama3", "near")], type=BackendType.NEXUS)
    add(target, "far", [behind("llama3", "far", "near")], type=BackendType.NEXUS)
    assert names(ask(target)) == {"own", "near", "far"}
    assert names(ask(target, "elsewhere")) == {"own", "near", "far"}
    assert names(ask(target, "far")) == {"own", "near"}
    assert names(ask(target, "near")) == {"own"}
    assert names(ask(target, "elsewhere", "far", "near")) == {"own"}
    assert names(ask(target)) == {"own", "near", "far"}


def test_one_peer_is_left_out_for_one_model_and_not_for_another() -> None:
    target = registry(rules=RoutingRules(fallbacks={"llama3": ("qwen",)}))
    add(target, "peer", [behind("llama3", "peer", "asker"), behind("qwen", "peer")], type=BackendType.NEXUS)
    decision = ask(target, "asker")
    assert isinstance(decision, Decision)
    assert (decision.model, decision.fallback) == ("qwen", True)


def test_a_refusal_says_that_the_way_leads_back() -> None:
    target = registry()
    add(target, "near", [behind("llama3", "near")], type=BackendType.NEXUS)
    refusal = ask(target, "near")
    assert isinstance(refusal, Refusal)
    ((backend, name, rejection),) = refusal.rejections
    assert (backend, name, rejection.code) == ("near", "llama3", "gateways")
    assert "leads back" in rejection.message
    assert refusal.retry_after is None


def test_the_nearer_of_two_ways_is_asked_first() -> None:
    target = registry()
    add(target, "far", [behind("llama3", "far", "near")], type=BackendType.NEXUS)
    add(target, "near", [behind("llama3", "near")], type=BackendType.NEXUS)
    decision = ask(target)
    assert isinstance(decision, Decision)
    assert decision.candidate.backend.name == "near"
    add(target, "own")
    decision = ask(target)
    assert isinstance(decision, Decision)
    assert [candidate.backend.name for candidate in decision.ranking] == ["own", "near", "far"]
