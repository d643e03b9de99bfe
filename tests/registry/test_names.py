from __future__ import annotations

import pytest
from tests.registry.fleet import add, registry

from nexus.domain import RoutingRules
from nexus.registry import Registry, Resolution, bare


def fleet(
    aliases: dict[str, str] | None = None, fallbacks: dict[str, tuple[str, ...]] | None = None
) -> Registry:
    target = registry(rules=RoutingRules(aliases=aliases or {}, fallbacks=fallbacks or {}))
    add(target, "box", ["llama3:latest", "qwen2:72b", "org/model", "mixtral"])
    add(target, "gpu", ["llama3", "phi"])
    add(target, "org", ["other"])
    return target


def chain(target: Registry, name: str) -> tuple[str, ...]:
    return target.snapshot.resolve(name).chain


@pytest.mark.parametrize(
    ("name", "key"),
    [("x", "x"), ("x:latest", "x"), ("x:7b", "x:7b"), (":latest", ":latest"), ("", "")],
)
def test_latest_is_the_bare_name(name: str, key: str) -> None:
    assert bare(name) == key


def test_latest_and_bare_are_one_model_on_all_backends() -> None:
    target = fleet()
    names = [candidate.backend.name for candidate in target.snapshot.index["llama3"]]
    assert names == ["box", "gpu"]
    assert "llama3:latest" not in target.snapshot.index
    assert chain(target, "llama3:latest") == chain(target, "llama3") == ("llama3",)
    assert target.snapshot.index["llama3"][0].model.native_id == "native/llama3:latest"


def test_both_spellings_on_one_backend_are_one_candidate() -> None:
    target = registry()
    add(target, "a", ["x:latest", "x"])
    (candidate,) = target.by_model("x")
    assert candidate.model.id == "x"


def test_an_exact_id_wins_over_an_alias() -> None:
    assert chain(fleet({"phi": "mixtral", "*": "mixtral"}), "phi") == ("phi",)


def test_an_exact_alias_wins_over_wildcards_and_the_longest_of_these() -> None:
    target = fleet({"*": "phi", "gpt-*": "mixtral", "gpt-4*": "qwen2:72b", "gpt-4": "llama3"})
    assert chain(target, "gpt-4") == ("llama3",)
    assert chain(target, "gpt-4o") == ("qwen2:72b",)
    assert chain(target, "gpt-3.5") == ("mixtral",)
    assert chain(target, "claude") == ("phi",)


def test_three_hops_and_no_more() -> None:
    three = fleet({"a": "b", "b": "c", "c": "phi"})
    assert chain(three, "a") == ("phi",)
    four = fleet({"a": "b", "b": "c", "c": "d", "d": "phi"})
    assert chain(four, "a") == ("d",)


def test_a_cycle_ends() -> None:
    assert chain(fleet({"a": "b", "b": "a"}), "a") == ("b",)
    assert chain(fleet({"*": "gone"}), "a") == ("gone",)


def test_an_alias_may_be_asked_and_written_with_latest() -> None:
    assert chain(fleet({"gpt-4:latest": "phi"}), "gpt-4") == ("phi",)
    assert chain(fleet({"gpt-4": "phi:latest"}), "gpt-4:latest") == ("phi",)


def test_a_pin_names_one_backend_and_has_no_fallbacks() -> None:
    target = fleet(fallbacks={"llama3": ("phi",)})
    assert target.snapshot.resolve("gpu/llama3:latest") == Resolution(("llama3",), "gpu")
    assert chain(target, "llama3") == ("llama3", "phi")


def test_a_pin_may_hold_a_model_with_a_slash() -> None:
    assert fleet().snapshot.resolve("box/org/model") == Resolution(("org/model",), "box")


def test_an_exact_id_with_a_slash_is_no_pin() -> None:
    target = fleet()
    add(target, "org", ["other", "model"])
    assert target.snapshot.resolve("org/model") == Resolution(("org/model",))


def test_a_pin_needs_a_backend_that_offers_the_model() -> None:
    assert fleet().snapshot.resolve("gpu/mixtral") == Resolution(("gpu/mixtral",))
    assert fleet().snapshot.resolve("nobody/phi") == Resolution(("nobody/phi",))


def test_an_alias_may_lead_to_a_pin() -> None:
    assert fleet({"fast": "gpu/phi"}).snapshot.resolve("fast") == Resolution(("phi",), "gpu")


def test_fallbacks_belong_to_the_resolved_model_and_follow_aliases() -> None:
    target = fleet(
        {"gpt-4": "llama3", "big": "qwen2:72b"},
        {"llama3:latest": ("big", "gone", "phi", "llama3"), "gpt-4": ("mixtral",)},
    )
    assert chain(target, "gpt-4") == ("llama3", "qwen2:72b", "gone", "phi")


def test_names_that_look_like_patterns_are_matched_as_text() -> None:
    assert chain(fleet({"gpt-*": "phi"}), "x\ngpt-4") == ("x\ngpt-4",)
