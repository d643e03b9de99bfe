"""The table of surfaces."""

from nexus.domain import BackendType
from nexus.protocol.surfaces import SURFACES, BodyKind, StreamEnd, surfaces_of


def test_rows() -> None:
    assert list(SURFACES) == ["chat", "completions", "embeddings", "responses", "messages", "count_tokens"]
    assert all(name == row.name and row.path.startswith("/") for name, row in SURFACES.items())
    assert SURFACES["count_tokens"].body is BodyKind.MESSAGES
    assert SURFACES["embeddings"].end is StreamEnd.NONE


def test_every_type_has_the_openai_surfaces() -> None:
    for kind in BackendType:
        assert {"chat", "completions", "embeddings"} <= surfaces_of(kind)
    assert surfaces_of(BackendType.GENERIC) == {"chat", "completions", "embeddings"}
    assert surfaces_of(BackendType.OPENAI) == {"chat", "completions", "embeddings", "responses"}
    assert "count_tokens" not in surfaces_of(BackendType.OLLAMA)
    assert surfaces_of(BackendType.VLLM) == set(SURFACES)
