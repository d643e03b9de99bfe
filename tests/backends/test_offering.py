"""Names, globs and corrections."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus.backends import offered
from nexus.domain import BackendSpec, Capabilities, Model, ModelOverride, Origin


def spec(**fields: object) -> BackendSpec:
    return BackendSpec(id="b", name="b", origin=Origin("http", "h", 1), **fields)  # type: ignore[arg-type]


def models(*names: str) -> tuple[Model, ...]:
    return tuple(Model(id=name, native_id=name, context_length=100) for name in names)


def pairs(spec: BackendSpec, *names: str) -> list[tuple[str, str]]:
    return [(model.id, model.native_id) for model in offered(spec, models(*names))]


def test_nothing_configured_changes_nothing() -> None:
    assert offered(spec(), models("a", "b:latest")) == models("a", "b:latest")


def test_a_mapped_model_is_offered_under_its_new_names_only() -> None:
    mapped = spec(models={"llama": "meta/Llama", "also": "meta/Llama", "ghost": "absent"})
    assert pairs(mapped, "meta/Llama", "x") == [("llama", "meta/Llama"), ("also", "meta/Llama"), ("x", "x")]


def test_latest_is_implied_in_the_mapping() -> None:
    assert pairs(spec(models={"mine": "llama3"}), "llama3:latest") == [("mine", "llama3:latest")]


def test_the_first_of_two_models_with_one_name_wins() -> None:
    assert pairs(spec(models={"b": "a"}), "a", "b") == [("b", "a")]


def test_globs_are_case_sensitive_and_read_offered_names() -> None:
    assert pairs(spec(only=("Qwen*",)), "Qwen2", "qwen2") == [("Qwen2", "Qwen2")]
    assert pairs(spec(models={"q": "x"}, only=("q",)), "x", "y") == [("q", "x")]
    assert pairs(spec(exclude=("*-embed",)), "a", "a-embed") == [("a", "a")]
    assert pairs(spec(only=("a*",), exclude=("ab*",)), "aa", "ab", "c") == [("aa", "aa")]
    assert pairs(spec(only=("llama3",)), "llama3:latest", "llama3:70b") == [
        ("llama3:latest", "llama3:latest")
    ]


def test_overrides_win_where_they_speak() -> None:
    override = ModelOverride(name="a", context_length=5, vision=False, tools=True)
    (model,) = offered(
        spec(overrides=(override,)),
        [Model(id="a:latest", native_id="a:latest", capabilities=Capabilities(vision=True, json=True))],
    )
    assert model.context_length == 5
    assert model.capabilities == Capabilities(vision=False, tools=True, json=True)
    assert model.id == "a:latest"


@given(
    st.lists(st.sampled_from(["a", "b", "a:latest", "c/d", "[x"]), unique=True),
    st.dictionaries(st.sampled_from(["a", "m", "n"]), st.sampled_from(["a", "b", "zzz"])),
    st.lists(st.sampled_from(["a*", "*", "[", "n"])),
)
def test_every_offered_name_is_one_model_of_the_server(
    names: list[str], mapping: dict[str, str], exclude: list[str]
) -> None:
    result = offered(spec(models=mapping, exclude=tuple(exclude)), models(*names))
    assert len({model.id for model in result}) == len(result)
    assert {model.native_id for model in result} <= set(names)


def test_what_another_gateway_has_only_from_us_is_left_out() -> None:
    found = (Model("a", "a", via=("peer",)), Model("b", "b", via=("peer", "us")), Model("c", "c"))
    names = [[model.id for model in offered(spec(), found, own_id)] for own_id in ("us", "peer", "")]
    assert names == [["a", "c"], ["c"], ["a", "b", "c"]]
