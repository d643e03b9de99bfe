"""OpenAI: a key, rate-limit headers, quota errors."""

from __future__ import annotations

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from nexus.testing.fixtures import load
from nexus.testing.models import RecordedRequest, ServerState
from nexus.testing.reply import Reply


class OpenAi(Dialect):
    """The OpenAI API."""

    server = "openai"
    kind = "openai"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES})

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/v1/models/{id}``."""
        if request.method != "GET" or not request.path.startswith("/v1/models/"):
            return None
        model = state.model(request.path.removeprefix("/v1/models/"))
        if model is None:
            return self.fixture("unknown-model", model=request.path.removeprefix("/v1/models/"))
        row = msgspec.json.decode(load(self.server, "models").body)["data"][0]
        return self.json(self.row(row, model), "models")
