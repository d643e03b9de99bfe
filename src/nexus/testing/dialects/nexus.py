"""Another Nexus: every surface, its own model rows, and a health page that says which gateway it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply


class Nexus(Dialect):
    """A gateway whose id is its name."""

    server = "nexus"
    kind = "nexus"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS})
    open_paths: ClassVar[tuple[str, ...]] = ("/health",)

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/health``, and refuse a request that has been here."""
        via = request.header("x-nexus-via") or ""
        if state.name in {passed.strip() for passed in via.split(",")}:
            return self.fixture("loop")
        if request.path != "/health":
            return None
        value = msgspec.json.decode(load(self.server, "health").body)
        value.update(gateway_id=state.name, models=len(state.models))
        if state.version:
            value["version"] = state.version
        return self.json(value, "health")

    def list_models(self, state: ServerState) -> Reply:
        """Return the list as gateways get it: each row says by which way the model is reached."""
        value = msgspec.json.decode(load(self.server, "models").body)
        row = value["data"][0]
        rows = [self.row(dict(row), model) for model in state.models]
        value["data"] = [{**row, "via": [state.name]} for row in rows]
        return self.json(value, "models")

    def row(self, row: dict[str, Any], model: FakeModel) -> dict[str, Any]:
        """Return a row with the flags of the model."""
        flags: Mapping[str, bool] = {
            name: getattr(model, name) for name in ("vision", "tools", "embeddings", "chat")
        }
        row = super().row(row, model)
        return {**row, "capabilities": {**row["capabilities"], **flags}, "available": model.loaded}

    def loading(self, request: RecordedRequest) -> Reply | None:
        """Only requests meet a model that loads: a gateway itself is up."""
        return self.fixture("loading") if request.surface else None
