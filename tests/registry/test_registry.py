from __future__ import annotations

import pytest
from tests.registry.fleet import ManualClock, add, indexed, model, pair, registry, spec

from nexus.domain import Backend, BackendSpec, BackendStatus, BackendType, Model, Origin, RoutingRules
from nexus.registry import Registry


def test_a_new_backend_waits_for_its_first_check() -> None:
    target = registry()
    backend = target.register(spec("a"), type=BackendType.OLLAMA, slots=1)
    assert (backend.status, backend.reason) == (BackendStatus.UNKNOWN, "not checked yet")
    assert (backend.type, backend.slots) == (BackendType.OLLAMA, 1)
    assert target.get("a") is backend
    assert target.get("b") is None


def test_the_configured_type_and_slots_come_first() -> None:
    target = registry()
    own = BackendSpec("a", "a", Origin("http", "h", 1), type=BackendType.EXO, slots=7)
    assert target.register(own, type=BackendType.VLLM, slots=100).type is BackendType.EXO
    backend = target.update("a", slots=3)
    assert backend is not None
    assert backend.slots == 7


def test_reported_slots_replace_assumed_ones() -> None:
    target = registry()
    add(target, "a", slots=100)
    target.update("a", slots=2)
    assert pair(target, "a").slots == 2


def test_look_up_by_model_finds_every_backend_up_or_down_in_order_of_registration() -> None:
    target = registry()
    add(target, "b", ["x", "y"])
    add(target, "a", ["x:latest"], status=BackendStatus.UNHEALTHY)
    assert [candidate.backend.name for candidate in target.by_model("x:latest")] == ["b", "a"]
    target.update("b", reason="again")
    assert indexed(target) == {"x": ("b", "a"), "y": ("b",)}
    assert [candidate.in_rotation for candidate in target.by_model("x")] == [True, False]


def test_a_status_begins_when_it_changes() -> None:
    clock = ManualClock()
    target = registry(clock)
    add(target, "a")
    began = target.snapshot.backends["a"].since
    clock.time += 5
    target.update("a", status=BackendStatus.HEALTHY, reason="still")
    assert target.snapshot.backends["a"].since == began
    target.update("a", status=BackendStatus.UNHEALTHY, reason="gone")
    assert target.snapshot.backends["a"].since == began + 5
    assert target.snapshot.backends["a"].reason == "gone"


def test_a_check_that_finds_nothing_new_makes_no_snapshot() -> None:
    target = registry()
    backend = add(target, "a", [model("x", 4096)])
    before = target.snapshot
    target.update("a", status=BackendStatus.HEALTHY, reason="", models=(model("x", 4096),), slots=4)
    assert target.snapshot is before
    assert target.get("a") is backend


def test_a_snapshot_does_not_change() -> None:
    target = registry()
    add(target, "a", ["x"])
    before = target.snapshot
    add(target, "b", ["x"])
    target.update("a", models=())
    target.remove("a")
    assert [candidate.backend.name for candidate in before.index["x"]] == ["a"]
    assert set(before.backends) == {"a"}
    assert target.snapshot.version > before.version
    assert indexed(target) == {"x": ("b",)}
    with pytest.raises(TypeError):
        before.index["y"] = ()  # type: ignore[index]


def test_only_the_entries_of_the_backend_that_changed_are_made_anew() -> None:
    target = registry()
    add(target, "a", ["x", "y"])
    add(target, "b", ["x", "z"])
    before = target.snapshot
    target.update("a", reason="again")
    assert target.snapshot.index["z"] is before.index["z"]
    assert target.snapshot.index["x"] is not before.index["x"]
    assert target.snapshot.index["x"][1] is before.index["x"][1]


def test_what_arrives_late_for_a_removed_backend_is_ignored() -> None:
    target = registry()
    add(target, "a")
    candidate = pair(target, "a")
    assert target.remove("a")
    assert not target.remove("a")
    version = target.snapshot.version
    assert target.update("a", status=BackendStatus.HEALTHY) is None
    assert not target.set_draining("a", draining=True)
    target.learn_false(candidate, "tools")
    target.correct_context(candidate, 100)
    target.busy(candidate, 1.0, None, loading=False)
    target.rest(candidate, 1.0, "x")
    assert target.snapshot.version == version
    assert not target.snapshot.backends
    assert not target.snapshot.index


def test_a_backend_that_is_up_again_is_not_left_alone_for_having_loaded() -> None:
    target = registry()
    add(target, "a", ["llama3", "y"])
    target.update("a", status=BackendStatus.LOADING)
    target.busy(pair(target, "a"), 1.0, 60, loading=True)
    target.update("a", reason="loading still")
    assert pair(target, "a").stats.busy_until > 1.0
    target.update("a", status=BackendStatus.HEALTHY)
    assert pair(target, "a").stats.busy_until == 0.0


def test_known_models_outlive_their_backend() -> None:
    target = registry()
    add(target, "a", ["x:latest", "y"])
    target.update("a", models=(model("z"),))
    target.remove("a")
    assert target.snapshot.known_models == {"x", "y", "z"}


@pytest.mark.interpreted("a compiled module has the number in its code, where no test can change it")
def test_known_models_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.registry.registry.KNOWN_MODELS_MAX", 3)
    target = registry()
    add(target, "a", ["a", "b", "c"])
    target.update("a", models=(model("d"),))
    assert target.snapshot.known_models == {"b", "c", "d"}


def test_draining_takes_out_of_rotation_and_is_no_status() -> None:
    target = registry()
    add(target, "a")
    assert target.set_draining("a", draining=True)
    backend = target.snapshot.backends["a"]
    assert (backend.draining, backend.status) == (True, BackendStatus.HEALTHY)
    assert not pair(target, "a").in_rotation
    target.set_draining("a", draining=False)
    assert pair(target, "a").in_rotation


def test_backends_with_a_key_leave_rotation_by_rule() -> None:
    target = registry()
    add(target, "open")
    add(target, "keyed", key="sk-secret")
    target.set_rules(RoutingRules(route_keyed_backends=False))
    assert (pair(target, "open").in_rotation, pair(target, "keyed").in_rotation) == (True, False)
    target.set_rules(RoutingRules())
    assert pair(target, "keyed").in_rotation


def test_what_was_learned_holds_until_the_model_list_changes() -> None:
    target = registry()
    models = (model("x", 8192, tools=True, vision=True), model("y"))
    add(target, "a", models)
    target.learn_false(pair(target, "a", "x"), "tools")
    target.learn_false(pair(target, "a", "x"), "surface:chat")
    target.correct_context(pair(target, "a", "x"), 4096)
    candidate = pair(target, "a", "x")
    assert candidate.known_false == {"tools", "surface:chat"}
    assert candidate.known_true == {"vision"}
    assert candidate.surfaces == {"completions", "embeddings"}
    assert candidate.context_length == candidate.model.context_length == 4096
    assert pair(target, "a", "y").known_false == frozenset()

    loaded = Model("x", "native/x", 8192, capabilities=models[0].capabilities, loaded=True)
    target.update("a", models=(loaded, models[1]))
    assert pair(target, "a", "x").known_false == {"tools", "surface:chat"}
    assert pair(target, "a", "x").context_length == 4096

    target.update("a", models=(loaded,))
    assert pair(target, "a", "x").known_false == frozenset()
    assert pair(target, "a", "x").known_true == {"tools", "vision"}
    assert pair(target, "a", "x").context_length == 8192


def test_a_corrected_context_yields_to_a_new_report() -> None:
    target = registry()
    add(target, "a", [model("x", 8192)])
    target.correct_context(pair(target, "a", "x"), 4096)
    target.update("a", models=(model("x", 2048),))
    assert pair(target, "a", "x").context_length == 2048


def test_learning_the_same_again_makes_no_snapshot() -> None:
    target = registry()
    add(target, "a")
    target.learn_false(pair(target, "a"), "tools")
    target.correct_context(pair(target, "a"), 4096)
    version = target.snapshot.version
    target.learn_false(pair(target, "a"), "tools")
    target.correct_context(pair(target, "a"), 4096)
    target.correct_context(pair(target, "a"), 0)
    assert target.snapshot.version == version


def test_a_model_known_not_to_chat_serves_no_chat_surface() -> None:
    target = registry()
    add(target, "a", [model("embed", chat=False)], surfaces=frozenset({"chat", "messages", "embeddings"}))
    assert pair(target, "a", "embed").surfaces == {"embeddings"}


def test_registering_again_keeps_counters_and_what_checks_found() -> None:
    target = registry()
    target.register(spec("a"), slots=100)
    target.update("a", type=BackendType.OLLAMA, slots=1, status=BackendStatus.HEALTHY, models=(model("x"),))
    candidate = pair(target, "a", "x")
    target.register(spec("a", priority=3), slots=100)
    again = pair(target, "a", "x")
    assert (again.priority, again.slots, again.in_rotation) == (3, 1, True)
    assert again.stats is candidate.stats
    assert again.backend.type is BackendType.OLLAMA


def test_slots_that_are_no_longer_configured_are_assumed_again() -> None:
    target = registry()
    target.register(spec("a", slots=9), slots=100)
    assert target.register(spec("a"), slots=100).slots == 100


def test_registering_another_origin_or_key_starts_with_a_check() -> None:
    target = registry()
    add(target, "a")
    load = pair(target, "a").load
    target.register(spec("a", key="new"))
    assert target.snapshot.backends["a"].status is BackendStatus.UNKNOWN
    assert not target.snapshot.index
    target.update("a", models=(model("llama3"),))
    assert pair(target, "a").load is load


def test_listeners_hear_of_status_changes_only() -> None:
    target = registry()
    heard: list[tuple[BackendStatus, BackendStatus, str]] = []

    def listen(before: Backend, after: Backend) -> None:
        assert target.get(after.id) is after
        heard.append((before.status, after.status, after.reason))

    stop = target.subscribe(listen)
    add(target, "a")
    target.update("a", reason="x")
    target.mark_unreachable("a", "refused")
    stop()
    target.update("a", status=BackendStatus.HEALTHY)
    assert heard == [
        (BackendStatus.UNKNOWN, BackendStatus.HEALTHY, ""),
        (BackendStatus.HEALTHY, BackendStatus.UNHEALTHY, "refused"),
    ]


def test_rules_are_swapped_at_once() -> None:
    target: Registry = registry()
    add(target, "a", ["x"])
    before = target.snapshot
    target.set_rules(RoutingRules(aliases={"gpt-4": "x"}))
    assert before.resolve("gpt-4").chain == ("gpt-4",)
    assert target.snapshot.resolve("gpt-4").chain == ("x",)
