"""Servers that look like another: LocalAI imitates Ollama, TGI imitates OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply


class LocalAi(Dialect):
    """LocalAI 4.9: Ollama's routes and greeting, model rows of two keys."""

    server = "localai"
    kind = "localai"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES})
    static: ClassVar[Mapping[str, str]] = {
        "/": "root",
        "/.well-known/localai.json": "well-known",
        "/api/version": "api-version",
        "/version": "version",
        "/healthz": "ready",
        "/readyz": "ready",
    }
    open_paths = ("/.well-known/", "/healthz", "/readyz")

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer Ollama's list and its own list of capabilities."""
        if request.method != "GET":
            return None
        if request.path == "/api/tags":
            value = msgspec.json.decode(load(self.server, "tags").body)
            row = value["models"][0]
            return self.json({"models": [{**row, "name": m.id, "model": m.id} for m in state.models]}, "tags")
        if request.path == "/v1/models/capabilities":
            value = msgspec.json.decode(load(self.server, "capabilities").body)
            row = value["data"][0]
            value["data"] = [{**row, "id": m.id, "capabilities": _capabilities(m)} for m in state.models]
            return self.json(value, "capabilities")
        return None

    def loading(self, request: RecordedRequest) -> Reply | None:
        """Surfaces and ``/readyz`` say so; the rest answers."""
        return self.fixture("loading") if request.surface or request.path == "/readyz" else None


class Tgi(Dialect):
    """Text Generation Inference 3.3: one model, any name, ``stop`` as an array only."""

    server = "tgi"
    kind = "tgi"
    surfaces = frozenset({CHAT, COMPLETIONS})
    static: ClassVar[Mapping[str, str]] = {"/health": "health", "/": "health", "/ping": "health"}
    open_paths = ("/info", "/v1/models", "/metrics", "/health", "/ping")
    ignores_model = True

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/info``."""
        if request.method != "GET" or request.path != "/info" or not state.models:
            return None
        value = msgspec.json.decode(load(self.server, "info").body)
        value.update(model_id=state.models[0].id, max_total_tokens=state.models[0].context)
        return self.json(value, "info")

    def invalid(self, request: RecordedRequest) -> Reply | None:
        """Refuse a ``stop`` that is no array."""
        if isinstance(request.fields.get("stop"), str):
            return self.fixture("stop-array")
        return super().invalid(request)

    def envelope(self, status: int, message: str, kind: str = "generation") -> object:  # noqa: ARG002 - no status inside
        """Return TGI's two texts."""
        return {"error": message, "error_type": kind}

    def row(self, row: dict[str, Any], model: FakeModel) -> dict[str, Any]:
        """Return a row whose owner is the model itself."""
        return {**super().row(row, model), "owned_by": model.id}


def _capabilities(model: FakeModel) -> list[str]:
    flags = (
        ("chat", model.chat),
        ("embeddings", model.embeddings),
        ("vision", model.vision),
        ("tools", model.tools),
    )
    return [name for name, has in flags if has]
