from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.kinds import Mismatch
from nexus.config.manual import FIELDS, Manual, manual_spec, read_fields, read_manual
from nexus.domain import BackendType, DiscoverySource

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = st.sampled_from(FIELDS) | st.text(max_size=10)


@given(st.dictionaries(_NAMES, _JSON | st.sampled_from(["http://h:1", "vllm", "A_KEY"]), max_size=6) | _JSON)
def test_whatever_comes_is_a_backend_or_is_refused(raw: object) -> None:
    manual = None
    with suppress(Mismatch):
        manual, _ = read_manual(raw)
    if manual is None:
        return
    assert manual.parsed.port
    assert read_manual({"url": manual.url, "name": manual.name})[0].url == manual.url


def test_all_fields_are_read() -> None:
    raw: dict[str, Any] = {
        "url": "LOCALHOST:8000/",
        "name": "box",
        "type": "vllm",
        "priority": 0,
        "slots": 4,
        "api_key_env": "BOX_KEY",
    }
    manual, named = read_manual(raw)
    assert named
    assert manual == Manual("box", "http://localhost:8000/v1", BackendType.VLLM, 0, 4, "BOX_KEY")
    spec = manual_spec(manual, {"BOX_KEY": "k"})
    assert (spec.id, spec.name, spec.source) == ("box", "box", DiscoverySource.MANUAL)
    assert (spec.found_by, spec.priority, spec.slots) == ("/admin/backends", 0, 4)
    assert spec.key is not None
    assert "k" not in str(spec.key)


def test_null_is_what_was_left_out() -> None:
    nothing = dict.fromkeys(("name", "type", "slots", "api_key_env"))
    assert read_manual({"url": "h:1", **nothing}) == read_manual({"url": "h:1"})
    assert read_fields({"slots": None}, ("slots",)) == {"slots": None}


@pytest.mark.parametrize("environ", [{}, {"BOX_KEY": ""}, {"BOX_KEY": " "}, {"BOX_KEY": "a b"}])
def test_a_key_must_be_there(environ: dict[str, str]) -> None:
    with pytest.raises(Mismatch) as refused:
        manual_spec(Manual("a", "http://h:1/v1", api_key_env="BOX_KEY"), environ)
    assert "BOX_KEY" in str(refused.value)


def test_a_key_in_the_place_of_its_name_is_not_repeated() -> None:
    with pytest.raises(Mismatch) as refused:
        manual_spec(Manual("a", "http://h:1/v1", api_key_env="sk_live_secret"), {})
    assert "secret" not in str(refused.value)
