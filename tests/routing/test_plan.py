"""What is worked out once: it says what judging every request by itself would say, and it is bounded."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.registry.fleet import add, model, pair, registry
from tests.routing.test_ranking import fleets, wishes

from nexus.domain import BackendStatus, Requirements
from nexus.registry import Registry
from nexus.routing import POLICIES, decide
from nexus.routing.plan import PLANS_MAX, plan_of
from nexus.routing.policies import LIVE_POLICIES, judge_context

NOW = 100.0
CHAT = Requirements(surface="chat", model="llama3")


@given(fleets, wishes)
def test_what_has_room_passes_every_judge_while_all_is_quiet(target: Registry, wish: Requirements) -> None:
    later = target.snapshot.unrest.until
    context = judge_context(wish, later)
    candidates = target.by_model("x")
    for policy in LIVE_POLICIES:
        fits = wish.text_bytes + 6 * (wish.max_tokens or 0) <= policy.room(candidates)
        if fits and wish.context_above is None:
            assert all(policy.judge(context, candidate) is None for candidate in candidates)


@given(fleets, wishes, wishes, st.integers())
def test_an_earlier_request_changes_nothing(
    target: Registry, earlier: Requirements, wish: Requirements, seed: int
) -> None:
    fresh = decide(target.snapshot, wish, NOW, Random(seed), policies=list(POLICIES))
    decide(target.snapshot, earlier, NOW, Random(seed))
    decide(target.snapshot, wish, NOW, Random(seed))
    again = decide(target.snapshot, wish, NOW, Random(seed))
    assert [getattr(again, name, None) for name in ("ranking", "scores", "reason", "rejections")] == [
        getattr(fresh, name, None) for name in ("ranking", "scores", "reason", "rejections")
    ]


def test_a_plan_lives_as_long_as_its_snapshot() -> None:
    target = registry()
    add(target, "a", [model("llama3", 1000)])
    plan = plan_of(target.snapshot, CHAT, POLICIES)
    assert plan_of(target.snapshot, CHAT, POLICIES) is plan
    target.learn_false(pair(target, "a"), "surface:chat")
    assert plan_of(target.snapshot, CHAT, POLICIES).steps[0].admitted == ()
    target.update("a", status=BackendStatus.UNHEALTHY)
    assert plan_of(target.snapshot, CHAT, POLICIES) is not plan


def test_names_that_clients_make_up_fill_no_memory() -> None:
    target = registry()
    add(target, "a")
    snapshot = target.snapshot
    for number in range(PLANS_MAX + 10):
        plan_of(snapshot, Requirements(surface="chat", model=f"m{number}"), POLICIES)
    assert len(snapshot.memory) == 10
    plan_of(snapshot, Requirements(surface="chat", model="m" * 100_000), POLICIES)
    assert len(snapshot.memory) == 10
