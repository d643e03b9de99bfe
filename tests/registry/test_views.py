from __future__ import annotations

import msgspec
from tests.registry.fleet import SURFACES, ManualClock, add, model, pair, registry

from nexus.domain import (
    BackendSpec,
    BackendStatus,
    BackendType,
    Capabilities,
    FailureKind,
    Model,
    Origin,
    RoutingRules,
    Secret,
    replace,
)
from nexus.registry import ModelRow, Registry
from nexus.registry.views import Asker, model_rows


def rows(target: object) -> dict[str, ModelRow]:
    return {row.id: row for row in target.model_rows()}  # type: ignore[attr-defined]


def behind(name: str, *via: str) -> Model:
    return replace(model(name), via=via)


def ways(target: Registry, *passed: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in model_rows(target.snapshot, Asker("us", frozenset(passed))):
        assert not isinstance(row.via, msgspec.UnsetType)
        found[row.id] = row.via
    return found


def test_a_row_merges_the_backends_in_rotation() -> None:
    target = registry()
    add(target, "a", [model("x", 4096, vision=False, tools=False)])
    add(
        target,
        "b",
        [Model("x:latest", "x", 8192, owned_by="meta", created=9, capabilities=Capabilities(vision=True))],
    )
    add(target, "c", [model("x", 99_999, json=True)], status=BackendStatus.UNHEALTHY)
    row = rows(target)["x"]
    assert (row.context_length, row.available, row.owned_by, row.created) == (8192, True, "meta", 9)
    assert row.capabilities == Capabilities(vision=True)
    assert row.backends == ("a", "b", "c")


def test_models_of_backends_that_are_down_stay_listed() -> None:
    target = registry()
    add(target, "a", [model("x", 4096, tools=False)], status=BackendStatus.UNHEALTHY)
    row = rows(target)["x"]
    assert (row.available, row.context_length, row.capabilities.tools) == (False, 4096, False)
    add(target, "b", ["x"])
    target.set_draining("b", draining=True)
    assert not rows(target)["x"].available


def test_aliases_are_rows_where_they_lead_to_a_model() -> None:
    aliases = {"gpt-4": "x", "gone": "nobody", "gpt-*": "x", "y": "x", "pin": "b/x"}
    target = registry(rules=RoutingRules(aliases=aliases))
    add(target, "a", [model("x", 4096)])
    add(target, "b", [model("x", 2048), model("y")])
    found = rows(target)
    assert list(found) == ["gpt-4", "pin", "x", "y"]
    assert (found["gpt-4"].alias_of, found["gpt-4"].context_length) == ("x", 4096)
    assert (found["pin"].alias_of, found["pin"].backends) == ("x", ("b",))
    assert found["y"].alias_of is None


def test_rows_are_kept_until_something_changes() -> None:
    target = registry()
    add(target, "a", ["x"])
    first = target.model_rows()
    assert target.model_rows() is first
    target.update("a", status=BackendStatus.UNHEALTHY)
    assert not target.model_rows()[0].available
    target.set_rules(RoutingRules(aliases={"z": "x"}))
    assert [row.id for row in target.model_rows()] == ["x", "z"]


def test_what_requests_taught_is_shown() -> None:
    target = registry()
    add(target, "a", [model("x", tools=True)])
    target.learn_false(pair(target, "a", "x"), "tools")
    target.learn_false(pair(target, "a", "x"), "surface:embeddings")
    assert rows(target)["x"].capabilities.tools is False
    (view,) = target.views()[0].models
    assert view.capabilities.tools is False
    assert view.lacks_surfaces == ("embeddings",)


def test_views_are_json_without_secrets() -> None:
    clock = ManualClock()
    target = registry(clock)
    spec = BackendSpec(
        "a",
        "a",
        Origin("https", "h", 443),
        key=Secret("sk-topsecret"),
        headers={"x-auth": Secret("sk-topsecret")},
    )
    target.register(spec, surfaces=SURFACES)
    target.update("a", status=BackendStatus.HEALTHY, models=(model("x"),))
    candidate = pair(target, "a", "x")
    target.busy(candidate, clock.now(), 10, loading=True)
    target.rest(candidate, clock.now(), "HTTP 500")
    with target.lease(candidate) as lease:
        lease.fail(FailureKind.SERVER_ERROR)
        text = msgspec.json.encode(target.views())
    assert b"topsecret" not in text
    (shown,) = msgspec.json.decode(msgspec.json.encode(target.views()))
    assert (shown["url"], shown["keyed"], shown["status"]) == ("https://h/v1", True, "healthy")
    assert (shown["in_flight"], shown["failures"]) == (0, {"server_error": 1})
    (shown_model,) = shown["models"]
    assert (shown_model["busy_seconds"], shown_model["busy_loading"]) == (10, True)
    assert (shown_model["resting_seconds"], shown_model["rest_cause"]) == (5, "HTTP 500")
    clock.time += 60
    (view,) = target.views()[0].models
    assert (view.busy_seconds, view.busy_loading, view.resting_seconds, view.rest_cause) == (0, False, 0, "")


def test_a_gateway_is_told_only_of_ways_that_do_not_lead_back_to_it() -> None:
    target = registry()
    add(target, "own", ["x"])
    add(target, "b", [behind("x", "b"), behind("y", "b"), behind("z", "b", "c")], type=BackendType.NEXUS)
    add(target, "c", [behind("y", "c", "d")], type=BackendType.NEXUS)
    assert ways(target) == {"x": ("us",), "y": ("us", "b"), "z": ("us", "b", "c")}
    assert ways(target, "a") == ways(target)
    assert ways(target, "b") == {"x": ("us",), "y": ("us", "c", "d")}
    assert ways(target, "c") == {"x": ("us",), "y": ("us", "b")}
    assert ways(target, "b", "d") == {"x": ("us",)}
    assert {row.via for row in target.model_rows()} == {msgspec.UNSET}


def test_a_way_is_never_longer_than_eight_and_never_ours_again() -> None:
    target = registry()
    longest = [f"g{number}" for number in range(7)]
    add(target, "b", [behind("x", *longest), behind("y", *longest, "g7"), behind("z", "b", "us")])
    assert ways(target) == {"x": ("us", *longest)}


def test_the_way_told_is_one_that_can_be_used_now() -> None:
    target = registry()
    add(target, "near", [behind("x", "b")], status=BackendStatus.UNHEALTHY)
    add(target, "far", [behind("x", "c", "d")])
    assert ways(target) == {"x": ("us", "c", "d")}
    target.update("far", status=BackendStatus.UNHEALTHY)
    (row,) = model_rows(target.snapshot, Asker("us", frozenset()))
    assert (row.via, row.available) == (("us", "b"), False)


def test_aliases_are_told_with_the_way_of_their_model() -> None:
    target = registry(rules=RoutingRules(aliases={"gpt-4": "x"}))
    add(target, "b", [behind("x", "b")])
    assert ways(target) == {"gpt-4": ("us", "b"), "x": ("us", "b")}
    assert ways(target, "b") == {}
