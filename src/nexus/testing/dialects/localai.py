"""LocalAI: Ollama's routes and greeting, model rows of two keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply

_VERSION: Final = "v4.9.0 (82c191a)"


class LocalAi(Dialect):
    """LocalAI 4.9; a state with a version before ``"v4"`` lacks the list of capabilities."""

    server = "localai"
    kind = "localai"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES})
    static: ClassVar[Mapping[str, str]] = {
        "/": "root",
        "/api/version": "api-version",
        "/version": "version",
        "/healthz": "ready",
        "/readyz": "ready",
    }
    open_paths = ("/.well-known/", "/healthz", "/readyz")

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer what it says of itself, Ollama's lists and its own list of capabilities."""
        if request.path == "/api/show" and request.method == "POST":
            return self._show(request, state)
        return self._native_get(request.path, state) if request.method == "GET" else None

    def _native_get(self, path: str, state: ServerState) -> Reply | None:
        if path == "/.well-known/localai.json":
            value = msgspec.json.decode(load(self.server, "well-known").body)
            value["version"] = state.version or _VERSION
            return self.json(value, "well-known")
        if path == "/api/tags":
            value = msgspec.json.decode(load(self.server, "tags").body)
            row = value["models"][0]
            return self.json({"models": [{**row, "name": m.id, "model": m.id} for m in state.models]}, "tags")
        if path == "/v1/models/capabilities" and (state.version or _VERSION) >= "v4":
            value = msgspec.json.decode(load(self.server, "capabilities").body)
            row = value["data"][0]
            value["data"] = [_described(row, model) for model in state.models]
            return self.json(value, "capabilities")
        return None

    def loading(self, request: RecordedRequest) -> Reply | None:
        """Surfaces and ``/readyz`` say so, each in its way; the rest answers."""
        if request.path == "/readyz":
            return self.fixture("starting")
        return self.fixture("loading") if request.surface else None

    def _show(self, request: RecordedRequest, state: ServerState) -> Reply:
        model = state.model(request.model)
        if model is None:
            return self.unknown_model(request, state)
        value = msgspec.json.decode(load(self.server, "show").body)
        value["model_info"]["general.context_length"] = model.context
        return self.json(value, "show")


def _described(row: Mapping[str, Any], model: FakeModel) -> dict[str, Any]:
    inputs = ["text", "image"] if model.vision else ["text"]
    return {**row, "id": model.id, "capabilities": _capabilities(model), "input_modalities": inputs}


def _capabilities(model: FakeModel) -> list[str]:
    flags = (
        ("chat", model.chat),
        ("embeddings", model.embeddings),
        ("vision", model.vision),
        ("tools", model.tools and model.chat),
    )
    return [name for name, has in flags if has]
