"""vLLM: no capability flags, CamelCase error types, an error event before ``[DONE]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.dialects.prompt import prompt_text
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply

_OPEN: Final = ("/health", "/version", "/metrics", "/load", "/ping", "/tokenize", "/is_sleeping")


class Vllm(Dialect):
    """vLLM's OpenAI server."""

    server = "vllm"
    kind = "vllm"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS})
    static: ClassVar[Mapping[str, str]] = {
        "/health": "health",
        "/ping": "ping",
        "/load": "load",
        "/metrics": "metrics",
    }
    open_paths = _OPEN

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/version`` and ``/tokenize``."""
        if request.method == "GET" and request.path == "/version":
            return self.json({"version": state.version or "0.32.0"}, "version")
        if request.method == "POST" and request.path == "/tokenize" and state.models:
            count = max(1, len(prompt_text(request.fields)) // 4)
            body = {
                "count": count,
                "max_model_len": state.models[0].context,
                "tokens": [28120] * count,
                "token_strs": None,
            }
            return self.json(body, "tokenize")
        return None

    def unserved(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Refuse stream options without a stream, and embeddings where no model has any."""
        if request.surface == EMBEDDINGS and not any(model.embeddings for model in state.models):
            return self.missing("embeddings")
        if (
            request.fields.get("stream_options")
            and not request.stream
            and request.surface in {CHAT, COMPLETIONS}
        ):
            return self.fixture("stream-options")
        return None

    def serving(self, request: RecordedRequest, state: ServerState) -> FakeModel | None:
        """A body without a model gets the only one there is."""
        if not request.model and state.models:
            return state.models[0]
        return super().serving(request, state)

    def death(self) -> tuple[tuple[bytes, ...], bool]:
        """A killed engine says so and still sends ``[DONE]``."""
        return self.stream_error(), True

    def envelope(self, status: int, message: str, kind: str = "BadRequestError") -> object:
        """Return vLLM's nested object with an int code."""
        return {"error": {"message": message, "type": kind, "param": None, "code": status}}
