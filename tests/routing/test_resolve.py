from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from tests.registry.fleet import add, registry

from nexus.domain import RoutingRules
from nexus.registry import Registry
from nexus.routing import resolve


def fleet(names: list[str], aliases: dict[str, str] | None = None) -> Registry:
    target = registry(rules=RoutingRules(aliases=aliases or {}))
    add(target, "a", names)
    return target


def test_the_nearest_names_come_first() -> None:
    target = fleet(
        ["llama3:8b", "llama3:70b", "qwen2:72b", "mixtral"], {"gpt-4": "mixtral", "gpt-*": "mixtral"}
    )
    assert resolve.nearest(target.snapshot, "lama3:70b")[:2] == ("llama3:70b", "llama3:8b")
    assert resolve.nearest(target.snapshot, "GPT4") == ("gpt-4",)
    assert resolve.nearest(target.snapshot, "zzz") == ()
    assert resolve.nearest(target.snapshot, "") == ()


def test_nearest_of_nothing_is_nothing() -> None:
    assert resolve.nearest(registry().snapshot, "llama3") == ()


def test_the_cost_of_finding_near_names_is_bounded() -> None:
    target = fleet([f"organisation/model-number-{number}-instruct" for number in range(5000)])
    start = time.perf_counter()
    found = resolve.nearest(target.snapshot, "organisation/model-number-77-instruc" + "x" * 1_000_000)
    assert len(found) <= 3
    assert time.perf_counter() - start < 1.0


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=30), max_size=10))
def test_any_name_resolves_and_has_neighbours_that_exist(name: str, models: list[str]) -> None:
    snapshot = fleet(models).snapshot
    resolution = resolve.names(snapshot, name)
    assert resolution.chain
    assert set(resolve.nearest(snapshot, name)) <= snapshot.index.keys()
    assert resolve.is_known(snapshot, name, resolution) is (resolution.chain[0] in snapshot.index)
