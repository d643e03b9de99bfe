"""LM Studio: 200 for every unknown path, errors as plain text in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply

PARALLEL = 4


class LmStudio(Dialect):
    """LM Studio 0.4."""

    server = "lmstudio"
    kind = "lmstudio"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES})
    static: ClassVar[Mapping[str, str]] = {"/lmstudio-greeting": "greeting"}
    open_paths = ("/lmstudio-greeting",)

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer the two generations of the native model list."""
        if request.method != "GET":
            return None
        if request.path == "/api/v1/models":
            return self._native(state)
        if request.path == "/api/v0/models":
            value = msgspec.json.decode(load(self.server, "models-v0").body)
            row = value["data"][0]
            value["data"] = [_v0_row(row, model) for model in state.models]
            return self.json(value, "models-v0")
        return None

    def loading(self, request: RecordedRequest) -> Reply | None:
        """Only requests that need the model notice; probes answer."""
        return self.fixture("loading") if request.surface else None

    def not_found(self, request: RecordedRequest, state: ServerState) -> Reply:
        """Answer 200 to a path that does not exist, and log an error."""
        message = f"Unexpected endpoint or method. ({request.method} {request.path})"
        state.side_effects.append(message)
        return self.json({"error": message}, "unexpected")

    def wrong_method(self) -> Reply:
        """Answer 200 to a wrong method too."""
        return self.json({"error": "Unexpected endpoint or method. (GET /v1/chat/completions)"}, "unexpected")

    def envelope(self, status: int, message: str, kind: str = "server_error") -> object:  # noqa: ARG002 - plain text
        """Return an error as a text."""
        return {"error": message}

    def _native(self, state: ServerState) -> Reply:
        value = msgspec.json.decode(load(self.server, "models-v1").body)
        row = value["models"][0]
        value["models"] = [_v1_row(row, model) for model in state.models]
        return self.json(value, "models-v1")


def _v1_row(recorded: Mapping[str, Any], model: FakeModel) -> dict[str, Any]:
    config = {"context_length": model.context, "parallel": PARALLEL, "flash_attention": True}
    row = {**recorded, "key": model.id, "display_name": model.id}
    row["type"] = "embedding" if model.embeddings and not model.chat else "llm"
    row["max_context_length"] = model.trained_context or model.context
    row["loaded_instances"] = [{"id": model.id, "config": config}] if model.loaded else []
    if row["type"] == "llm":
        row["capabilities"] = {"vision": model.vision, "trained_for_tool_use": model.tools}
    else:
        row.pop("capabilities", None)
    return row


def _v0_row(recorded: Mapping[str, Any], model: FakeModel) -> dict[str, Any]:
    kind = "embeddings" if model.embeddings and not model.chat else "vlm" if model.vision else "llm"
    row = {**recorded, "id": model.id, "type": kind, "state": "loaded" if model.loaded else "not-loaded"}
    row["max_context_length"] = model.trained_context or model.context
    if model.loaded:
        row["loaded_context_length"] = model.context
    else:
        row.pop("loaded_context_length", None)
    if model.tools:
        row["capabilities"] = ["tool_use"]
    return row
