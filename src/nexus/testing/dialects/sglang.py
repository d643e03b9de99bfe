"""SGLang: flat errors over HTTP, nested ones inside a stream, a health probe that generates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import RecordedRequest, ServerState
from nexus.testing.reply import Reply


class Sglang(Dialect):
    """SGLang's OpenAI server. It accepts any model name."""

    server = "sglang"
    kind = "sglang"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS})
    static: ClassVar[Mapping[str, str]] = {
        "/": "root",
        "/health": "health",
        "/health_generate": "health",
        "/ready": "ready",
        "/v1/loads": "loads",
    }
    open_paths = ("/health", "/ready", "/metrics")
    ignores_model = True

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/model_info``, ``/server_info``, ``/v1/models/{id}`` and Ollama's list."""
        path = request.path
        if path in {"/health", "/health_generate"}:
            state.side_effects.append(f"GET {path} generates a token")
        if request.method != "GET" or not state.models:
            return None
        model = state.models[0]
        if path in {"/model_info", "/get_model_info"}:
            value = msgspec.json.decode(load(self.server, "model-info").body)
            value.update(model_path=model.id, tokenizer_path=model.id, served_model_name=model.id)
            value.update(is_generation=model.chat, has_image_understanding=model.vision)
            value["tool_call_parser"] = "llama3" if model.tools else None
            return self.json(value, "model-info")
        if path == "/api/tags":
            row = msgspec.json.decode(load(self.server, "tags").body)["models"][0]
            return self.json({"models": [{**row, "name": m.id, "model": m.id} for m in state.models]}, "tags")
        if path in {"/server_info", "/get_server_info"}:
            return self.fixture("server-info", model=model.id)
        if path.startswith("/v1/models/"):
            return self._one(path.removeprefix("/v1/models/"), request, state)
        return None

    def envelope(self, status: int, message: str, kind: str = "InternalServerError") -> object:
        """Return SGLang's flat object."""
        return {"object": "error", "message": message, "type": kind, "param": None, "code": status}

    def _one(self, name: str, request: RecordedRequest, state: ServerState) -> Reply:
        model = state.model(name.replace("%2F", "/").replace("%3A", ":"))
        if model is None:
            return self.unknown_model(request, state)
        row = msgspec.json.decode(load(self.server, "models").body)["data"][0]
        return self.json(self.row(row, model), "models")
