"""Every fixture says where it comes from, and recordings are what was recorded."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from nexus.domain import BackendType
from nexus.testing import Fixture, provenance
from nexus.testing.dialects import DIALECTS
from nexus.testing.dialects.names import CHAT, EMBEDDINGS
from nexus.testing.fixtures import load, raw

CAPTURES = Path(__file__).parents[1] / "captures"
FOLDER = Path(str(files("nexus.testing") / "fixtures"))


def everything() -> list[Fixture]:
    return [fixture for rows in provenance().values() for fixture in rows]


def test_every_backend_type_has_fixtures() -> None:
    assert set(provenance()) == set(BackendType)
    assert all(provenance().values())


def test_every_type_has_a_dialect() -> None:
    assert set(DIALECTS) == {str(kind) for kind in BackendType}


def test_every_file_is_listed_and_every_listing_has_its_file() -> None:
    shipped = {f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.http")}
    assert shipped == {f"{fixture.server}/{fixture.name}" for fixture in everything()}


def test_every_fixture_gives_its_evidence() -> None:
    for fixture in everything():
        assert fixture.source in {"recorded", "synthetic"}
        assert len(fixture.note) >= 10, fixture
        assert (fixture.source == "recorded") == bool(fixture.capture), fixture


def test_whole_recordings_are_byte_for_byte_what_was_captured() -> None:
    for fixture in everything():
        if fixture.whole:
            assert raw(fixture.server, fixture.name) == (CAPTURES / fixture.capture).read_bytes(), fixture


def test_shortened_recordings_say_so() -> None:
    for fixture in everything():
        if fixture.source == "recorded" and not fixture.whole:
            assert "shortened" in fixture.note, fixture


def test_the_chats_of_recorded_servers_are_recorded() -> None:
    recorded = {
        kind
        for kind, rows in provenance().items()
        if all(row.source == "recorded" for row in rows if row.name in {"chat", "chat-stream", "models"})
    }
    assert recorded == {BackendType.OLLAMA, BackendType.VLLM, BackendType.LLAMACPP}


@pytest.mark.parametrize("kind", sorted(DIALECTS))
def test_every_fixture_can_be_taken_apart_and_its_lengths_are_true(kind: str) -> None:
    dialect = DIALECTS[kind]
    for fixture in everything():
        if fixture.server != dialect.server:
            continue
        reply = load(dialect.server, fixture.name)
        length = next((value for key, value in reply.headers if key.lower() == b"content-length"), None)
        if length is not None and not fixture.name.startswith("head-"):
            assert int(length) == len(reply.body), fixture


@pytest.mark.parametrize("kind", sorted(DIALECTS))
def test_every_surface_of_a_dialect_has_its_fixtures(kind: str) -> None:
    dialect = DIALECTS[kind]
    for surface in dialect.surfaces:
        load(dialect.server, surface)
        if surface not in {EMBEDDINGS, "count-tokens"}:
            load(dialect.server, f"{surface}-stream")
    assert CHAT in dialect.surfaces


def test_an_unknown_fixture_is_named() -> None:
    with pytest.raises(KeyError, match="no fixture vllm/nope"):
        load("vllm", "nope")


def test_the_fixtures_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 400_000
