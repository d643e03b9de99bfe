"""Text Generation Inference: one model, any name, ``stop`` as an array only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply


class Tgi(Dialect):
    """Text Generation Inference 3.3."""

    server = "tgi"
    kind = "tgi"
    surfaces = frozenset({CHAT, COMPLETIONS})
    static: ClassVar[Mapping[str, str]] = {"/health": "health", "/": "health", "/ping": "health"}
    open_paths = ("/info", "/v1/models", "/metrics", "/health", "/ping")
    ignores_model = True

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/info``; a health check generates a token while no request has succeeded."""
        if request.method != "GET":
            return None
        if request.path in self.static:
            state.side_effects.append(f"GET {request.path} generates a token")
        if request.path != "/info" or not state.models:
            return None
        value = msgspec.json.decode(load(self.server, "info").body)
        value.update(model_id=state.models[0].id, max_total_tokens=state.models[0].context)
        return self.json(value, "info")

    def list_models(self, state: ServerState) -> Reply:
        """Return ``/v1/models``, which has one row."""
        value = msgspec.json.decode(load(self.server, "models").body)
        row = value["data"][0]
        value["data"] = [self.row(dict(row), model) for model in state.models[:1]]
        return self.json(value, "models")

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
