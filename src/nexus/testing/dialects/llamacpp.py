"""llama.cpp: any model name is served, loading is a 503, two events share a chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.dialects.prompt import prompt_text
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply

SLOTS = 2


class LlamaCpp(Dialect):
    """``llama-server``, single model or, with ``state.router``, router mode."""

    server = "llamacpp"
    kind = "llamacpp"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS})
    static: ClassVar[Mapping[str, str]] = {"/health": "health", "/metrics": "metrics", "/": "root"}
    open_paths = ("/health",)
    keep_alive = ((b"Keep-Alive", b"timeout=5, max=100"),)

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/props``, ``/slots``, ``/models`` and ``/tokenize``."""
        if request.path == "/tokenize" and request.method == "POST":
            return self.json({"tokens": [28120] * max(1, len(prompt_text(request.fields)) // 4)}, "tokenize")
        if request.method == "HEAD" and request.path == "/":
            return self.fixture("head-root")
        return self._native_get(request, state) if request.method == "GET" else None

    def _native_get(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        if state.router and request.path in {"/props", "/metrics"} and "model=" in request.query:
            _autoload(request, state)
        if request.path == "/props":
            return self._props(state)
        if request.path == "/slots" and state.models and not state.router:
            state.side_effects.append("GET /slots wakes a sleeping server")
            return self._slots(state.models[0])
        if request.path in {"/models", "/v1/models"}:
            return self.list_models(state)
        return None

    def serving(self, request: RecordedRequest, state: ServerState) -> FakeModel | None:
        """Single mode ignores the name; a router knows its own."""
        if state.router:
            return state.model(request.model)
        return state.models[0] if state.models else None

    def unserved(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """A ``GET`` on a surface is a 404 here, so only embeddings need a look."""
        model = self.serving(request, state)
        if request.surface == EMBEDDINGS and model is not None and not model.embeddings:
            return self.missing("embeddings")
        return None

    def wrong_method(self) -> Reply:
        """A wrong method is an unknown path to this server."""
        return self.fixture("not-found")

    def envelope(self, status: int, message: str, kind: str = "server_error") -> object:
        """Return llama.cpp's nested object with an int code."""
        return {"error": {"code": status, "message": message, "type": kind}}

    def list_models(self, state: ServerState) -> Reply:
        """Return ``/v1/models``: two lists in one, or a router's rows."""
        name = "router-models" if state.router else "models"
        value = msgspec.json.decode(load(self.server, name).body)
        data = value["data"][0]
        if state.router:
            value["data"] = [_router_row(data, model) for model in state.models]
            return self.json(value, name)
        native = value["models"][0]
        models = state.models[:1]
        value["models"] = [
            {**native, "name": m.id, "model": m.id, "capabilities": _capabilities(m)} for m in models
        ]
        value["data"] = [_row(data, model) for model in models]
        return self.json(value, name)

    def _props(self, state: ServerState) -> Reply:
        if state.router:
            return self.fixture("router-props")
        value = msgspec.json.decode(load(self.server, "props").body)
        for model in state.models[:1]:
            value["default_generation_settings"]["n_ctx"] = model.context
            value["model_alias"] = model.id
            value["modalities"]["vision"] = model.vision
            value["chat_template_caps"].update(supports_tools=model.tools, supports_tool_calls=model.tools)
            value["total_slots"] = SLOTS
        return self.json(value, "props")

    def _slots(self, model: FakeModel) -> Reply:
        rows = msgspec.json.decode(load(self.server, "slots").body)
        return self.json([{**row, "n_ctx": model.context} for row in rows], "slots")


def _autoload(request: RecordedRequest, state: ServerState) -> None:
    """Load a model that was only asked about: what a router does unless ``autoload=false``."""
    if "autoload=false" not in request.query:
        state.side_effects.append(f"GET {request.path}?{request.query} loads the model")
        state.models = tuple(
            replace(m, loaded=m.loaded or f"model={m.id}" in request.query) for m in state.models
        )


def _capabilities(model: FakeModel) -> list[str]:
    return ["completion", "multimodal"] if model.vision else ["completion"]


def _modalities(model: FakeModel) -> dict[str, list[str]]:
    return {
        "input_modalities": ["text", "image"] if model.vision else ["text"],
        "output_modalities": ["text"],
    }


def _row(recorded: Mapping[str, Any], model: FakeModel) -> dict[str, Any]:
    meta = {**recorded["meta"], "n_ctx": model.context, "n_ctx_train": model.trained_context or model.context}
    return {
        **recorded,
        "id": model.id,
        "aliases": [model.id],
        "architecture": _modalities(model),
        "meta": meta,
    }


def _router_row(recorded: Mapping[str, Any], model: FakeModel) -> dict[str, Any]:
    row = {**recorded, "id": model.id, "architecture": _modalities(model)}
    row["status"] = {**recorded["status"], "value": "loaded" if model.loaded else "unloaded"}
    if model.loaded:
        row["meta"] = {"n_ctx": model.context, "n_ctx_train": model.trained_context or model.context}
    return row
