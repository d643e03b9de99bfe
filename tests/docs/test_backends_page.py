"""The page claims no more about a backend type than the fleet's fixtures can show."""

from __future__ import annotations

import pytest
from tests.docs.pages import quoted, read, rows, section

from nexus.backends import ADAPTERS
from nexus.backends.wordings import COMMON
from nexus.domain import BackendStatus, BackendType
from nexus.protocol.envelope import Fix
from nexus.protocol.surfaces import SURFACES
from nexus.testing import Fixture, provenance

PAGE = "docs/backends.md"


def _claim(fixtures: tuple[Fixture, ...]) -> str:
    """What a type's fixtures allow us to say: chat replies recorded from a real server, or not."""
    chat = [fixture for fixture in fixtures if fixture.name.startswith("chat")]
    recorded = {fixture.note.partition(";")[0] for fixture in chat if fixture.source == "recorded"}
    assert len(recorded) <= 1, "two versions were recorded: say which one is meant"
    return f"*verified on a real server: {recorded.pop()}*" if recorded else "*from documentation*"


def _evidence() -> dict[str, str]:
    table = read(PAGE).partition("| `type` | evidence |")[2].partition("\n\n")[0]
    return {cells[0].strip("`"): cells[1] for cells in rows(table)}


@pytest.mark.parametrize("kind", list(BackendType))
def test_the_table_says_what_the_fixtures_show(kind: BackendType) -> None:
    assert _evidence()[kind.value].startswith(_claim(provenance()[kind]))


@pytest.mark.parametrize("kind", list(BackendType))
def test_the_section_says_what_the_fixtures_show(kind: BackendType) -> None:
    text = section(PAGE, f"## `{kind.value}`").strip()
    assert text.lower().startswith(_claim(provenance()[kind]).lower().removesuffix("*"))


def test_the_table_has_every_type_and_no_other() -> None:
    assert set(_evidence()) == {kind.value for kind in BackendType} == {kind.value for kind in ADAPTERS}


def test_the_fixes_are_those_that_the_adapters_apply() -> None:
    told: dict[str, set[Fix]] = {}
    for name, tokens, role, stop in rows(section(PAGE, "## Fixes")):
        if tokens in ("yes", "no"):
            answers = ((Fix.MAX_TOKENS, tokens), (Fix.SYSTEM_ROLE, role), (Fix.STOP_ARRAY, stop))
            told[name.strip("`")] = {fix for fix, answer in answers if answer == "yes"}
    others = told.pop("all others")
    for kind, adapter in ADAPTERS.items():
        assert adapter.fixes == told.get(kind.value, others), kind


def test_every_status_is_explained() -> None:
    explained = quoted(section(PAGE, "## What a check asks"))
    assert {status.value for status in BackendStatus} <= explained


def test_surfaces_are_told_for_the_types_that_have_them() -> None:
    words = {
        "Ollama": BackendType.OLLAMA,
        "vLLM": BackendType.VLLM,
        "llama.cpp": BackendType.LLAMACPP,
        "LM Studio": BackendType.LMSTUDIO,
        "exo": BackendType.EXO,
        "SGLang": BackendType.SGLANG,
        "LocalAI": BackendType.LOCALAI,
        "OpenAI": BackendType.OPENAI,
        "Nexus": BackendType.NEXUS,
    }
    table = {cells[0]: cells[2] for cells in rows(section("docs/http-api.md", "## Paths")) if len(cells) == 3}
    for surface in SURFACES.values():
        told = table[f"`/v1{surface.path}`"]
        if surface.types is None:
            assert told.endswith("every backend type")
        else:
            assert {kind for word, kind in words.items() if word in told} == surface.types


def test_the_page_names_the_file_of_wordings() -> None:
    assert COMMON
    assert "src/nexus/backends/wordings.py" in read(PAGE)
