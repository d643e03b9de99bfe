"""exo: a catalogue that is not runnable, comment lines first, usage in the last content chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, MESSAGES, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply

_PHRASES: Final = {
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Exo(Dialect):
    """exo 1.0.71. A model that is not ``loaded`` is in the catalogue only."""

    server = "exo"
    kind = "exo"
    surfaces = frozenset({CHAT, RESPONSES, MESSAGES})
    static: ClassVar[Mapping[str, str]] = {"/node_id": "node-id"}
    reads_max_completion_tokens = False

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer the lists of what is placed and downloaded."""
        if request.method != "GET":
            return None
        placed = [model for model in state.models if model.loaded]
        if request.path == "/v1/models" and "status=downloaded" in request.query:
            return self._list(placed)
        if request.path == "/state":
            value = msgspec.json.decode(load(self.server, "state").body)
            value["instances"] = {
                f"inst-{at}": {
                    "MlxRingInstance": {"instanceId": f"inst-{at}", "shardAssignments": {"modelId": model.id}}
                }
                for at, model in enumerate(placed, 1)
            }
            return self.json(value, "state")
        if request.path == "/ollama/api/ps":
            value = msgspec.json.decode(load(self.server, "ps").body)
            row = value["models"][0]
            return self.json(
                {"models": [{**row, "name": model.id, "model": model.id} for model in placed]}, "ps"
            )
        return None

    def loading(self, request: RecordedRequest) -> Reply | None:
        """Only requests that need the model notice; probes answer."""
        return self.fixture("loading") if request.surface else None

    def serving(self, request: RecordedRequest, state: ServerState) -> FakeModel | None:
        """Only a placed model serves."""
        model = state.model(request.model)
        return model if model is not None and model.loaded else None

    def envelope(self, status: int, message: str, kind: str = "") -> object:
        """Return exo's nested object, whose type is the HTTP phrase."""
        kind = kind or _PHRASES.get(status, "Error")
        return {"error": {"message": message, "type": kind, "param": None, "code": status}}

    def row(self, row: dict[str, Any], model: FakeModel) -> dict[str, Any]:
        """Return a row of the catalogue, with what the model can do."""
        row = super().row(row, model)
        row["capabilities"] = ["text", *(["vision"] if model.vision else [])]
        return row

    def _list(self, models: list[FakeModel]) -> Reply:
        value = msgspec.json.decode(load(self.server, "models").body)
        recorded = value["data"][0]
        value["data"] = [self.row(dict(recorded), model) for model in models]
        return self.json(value, "models")
