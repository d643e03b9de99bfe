"""Ollama: native model lists, a silent end instead of an error, colliding ids."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.names import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES
from nexus.testing.dialects.prompt import prompt_text
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply
from nexus.testing.template import events_of

_VERSION: Final = "0.33.0"
_LOCAL_SUFFIXES: Final = (".local", ".internal", ".localhost")


class Ollama(Dialect):
    """Ollama 0.33; a state with version ``"0.9.3"`` gives the recorded older one."""

    server = "ollama"
    kind = "ollama"
    surfaces = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES})
    static: ClassVar[Mapping[str, str]] = {"/": "root"}
    reads_max_completion_tokens = False

    def door(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Refuse a foreign ``Host``: what a loopback bind does."""
        host = (request.header("host") or "localhost").rsplit(":", 1)[0].strip("[]")
        if not _is_local(host):
            return self.fixture("foreign-host")
        return super().door(request, state)

    def loading(self, request: RecordedRequest) -> Reply | None:
        """Only requests that need the model notice; probes answer."""
        return self.fixture("loading") if request.surface else None

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Answer ``/api/*``, ``/v1/models/{id}`` and ``/``."""
        path = request.path
        if path == "/api/show" and request.method == "POST":
            return self._show(request, state)
        if path == "/" and request.method == "HEAD":
            return self.fixture("head-root")
        return self._native_get(path, state) if request.method == "GET" else None

    def _native_get(self, path: str, state: ServerState) -> Reply | None:
        old = _is_old(state)
        if path.startswith("/v1/models/"):
            return self._one(path.removeprefix("/v1/models/"), state)
        if path == "/api/version":
            return self.json({"version": state.version or _VERSION}, "version")
        if path == "/api/tags":
            return self._rows("tags-old" if old else "tags", state.models)
        if path == "/api/ps":
            loaded = tuple(model for model in state.models if model.loaded and not model.remote)
            return self._rows("ps-old" if old else "ps", loaded)
        return None

    def surface(self, request: RecordedRequest, state: ServerState) -> Reply:
        """Answer a surface; the recorded version lacks the newer ones."""
        if _is_old(state) and request.surface in {RESPONSES, MESSAGES}:
            return self.not_found(request, state)
        reply = super().surface(request, state)
        if reply.status == 404 and _is_old(state):
            return self.fixture("unknown-model-old", model=request.model)
        return reply

    def invalid(self, request: RecordedRequest) -> Reply | None:
        """An empty list of messages is refused as a missing one."""
        if request.surface == CHAT and isinstance(request.json, dict) and not request.json.get("messages"):
            return self.fixture("missing-messages")
        refusal = super().invalid(request)
        if refusal is None and not request.model:
            return self.fixture("no-model")
        return refusal

    def serving(self, request: RecordedRequest, state: ServerState) -> FakeModel | None:
        """``x`` and ``x:latest`` are one model."""
        name = request.model
        bare = name.removesuffix(":latest")
        return state.model(name) or state.model(bare) or state.model(f"{bare}:latest")

    def incapable(self, request: RecordedRequest, model: FakeModel) -> Reply | None:
        """Images by URL are refused; a long chat is cut silently."""
        if request.surface == EMBEDDINGS:
            if len(prompt_text(request.fields)) // 4 > model.context:
                return self.overflow(len(prompt_text(request.fields)) // 4, model.context)
            return None if model.embeddings or not model.chat else self.missing("embeddings")
        if b'"image_url"' in request.body:
            if not model.vision:
                return self.missing("vision")
            if b"data:image/" not in request.body:
                return self.fixture("no-remote-image")
        if request.fields.get("tools") and not model.tools:
            return self.fixture("no-tools", model=model.id)
        return None

    def values(self, model: str, serial: int, prompt: int, completion: int, cut: bool) -> dict[str, bytes]:
        """Ids run from 0 to 998 and collide."""
        values = super().values(model, serial, prompt, completion, cut)
        values["serial"] = b"%d" % (serial % 999)
        return values

    def death(self) -> tuple[tuple[bytes, ...], bool]:
        """A killed runner leaves an empty delta and a clean end: no finish reason, no ``[DONE]``."""
        return tuple(event.raw for event in events_of(load(self.server, "stream-end"))), True

    def list_models(self, state: ServerState) -> Reply:
        """Return ``/v1/models``; an empty installation says ``"data": null``."""
        if not state.models:
            return self.json({"object": "list", "data": None}, "models")
        return super().list_models(state)

    def _one(self, name: str, state: ServerState) -> Reply:
        model = state.model(name.replace("%2F", "/").replace("%3A", ":"))
        return self.fixture("model", model=model.id) if model else self.fixture("model-unknown", model=name)

    def _rows(self, name: str, models: tuple[FakeModel, ...]) -> Reply:
        value = msgspec.json.decode(load(self.server, name).body)
        row = value["models"][0]
        value["models"] = [_native_row(row, model) for model in models]
        return self.json(value, name)

    def _show(self, request: RecordedRequest, state: ServerState) -> Reply:
        name = request.model or str(request.fields.get("name", ""))
        model = state.model(name) or state.model(f"{name}:latest")
        if model is None:
            return self.fixture("show-unknown", model=name)
        value = msgspec.json.decode(load(self.server, "show").body)
        value["capabilities"] = _capabilities(model)
        value["model_info"]["llama.context_length"] = model.trained_context or model.context
        value["parameters"] = f"num_ctx                        {model.context}"
        return self.json(value, "version")


def _is_old(state: ServerState) -> bool:
    return state.version.startswith("0.9.")


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def _native_row(recorded: Mapping[str, Any], model: FakeModel) -> dict[str, Any]:
    row = {**recorded, "name": model.id, "model": model.id}
    if "context_length" in row["details"]:
        row["details"] = {**row["details"], "context_length": model.trained_context or model.context}
    if "context_length" in row:
        row["context_length"] = model.context
    if "capabilities" in row:
        row["capabilities"] = _capabilities(model)
    if model.remote:
        row.update(remote_host="https://ollama.com:443", remote_model=model.id.removesuffix(":cloud"))
    return row


def _capabilities(model: FakeModel) -> list[str]:
    flags = (
        ("completion", model.chat),
        ("embedding", model.embeddings),
        ("vision", model.vision),
        ("tools", model.tools),
    )
    return [name for name, has in flags if has]
