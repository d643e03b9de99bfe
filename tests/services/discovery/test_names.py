from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.backends import from_text
from nexus.services.discovery.names import MAX_LENGTH, first_readable, readable, unique


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ollama", "ollama"),
        ("vllm-box", "vllm-box"),
        ("Jonas\u2019 Mac mini (Ollama)", "Jonas-Mac-mini-Ollama"),
        ("Küche 2.0", "Kuche-2.0"),
        ("ollama [aa:bb]", "ollama-aa-bb"),
        ("a/b\\c", "a-b-c"),
        ("--x--", "x"),
        ("厨房", ""),
        ("\x1b[2J\r\nX-Evil: 1", "2J-X-Evil-1"),
        ("x" * 99, "x" * 63),
        ("", ""),
    ],
)
def test_names_are_made_readable(text: str, name: str) -> None:
    assert readable(text) == name


@given(st.text(max_size=300))
def test_a_readable_name_is_safe_wherever_names_go(text: str) -> None:
    name = readable(text)
    assert len(name) <= MAX_LENGTH
    assert name.isascii()
    assert not set(name) & set(" /\\:;,=\"'<>\r\n\t%*?[]")
    assert readable(name) == name
    if name:
        assert from_text(f"{name}=http://host:1", "here").table.name == name


@given(st.lists(st.text(alphabet="aB-.", max_size=70).map(readable).filter(bool), max_size=30))
def test_unique_names_are_unique_whatever_their_case(wanted: list[str]) -> None:
    taken: set[str] = set()
    for name in wanted:
        free = unique(name, taken)
        assert free.casefold() not in taken
        assert len(free) <= MAX_LENGTH
        taken.add(free.casefold())


def test_clashes_are_numbered_from_two() -> None:
    assert unique("Box", set()) == "Box"
    assert unique("Box", {"box"}) == "Box-2"
    assert unique("Box", {"box", "box-2"}) == "Box-3"
    assert unique("x" * 63, {"x" * 63}) == "x" * 61 + "-2"


def test_the_first_suggestion_of_which_something_is_left_counts() -> None:
    assert first_readable(["", "厨房", "Box", "Other"], "x") == "Box"
    assert first_readable(["", "厨房"], "x") == "x"
