"""What a fake backend serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from nexus.testing.fixtures import Header


@dataclass(frozen=True, slots=True)
class FakeModel:
    """One model of a fake backend.

    Attributes:
        id: the server's own spelling of the name.
        context: tokens that a request may use, as the server reports it for the loaded model; a
            prompt is counted at four bytes a token and one that does not fit is answered as this
            type of server does.
        trained_context: what the model could do at most; defaults to ``context``.
        chat, embeddings, vision, tools: what it can do. Requests beyond that get the server's own
            refusal.
        loaded: whether it is in memory.
        remote: served by somebody else's computer (Ollama ``:cloud``).
        reply: the text that it answers; by default one that names backend and model.
    """

    id: str
    context: int = 8192
    trained_context: int | None = None
    chat: bool = True
    embeddings: bool = False
    vision: bool = False
    tools: bool = True
    loaded: bool = True
    remote: bool = False
    reply: str | None = None


@dataclass
class RecordedRequest:
    """One request as a fake backend received it.

    Attributes:
        method: such as ``"POST"``.
        path: without the query.
        query: after the question mark, or empty.
        headers: in order, with names as sent.
        body: the bytes of the body.
        connection: number of the connection, from 1; equal numbers mean a reused connection.
        fault: kind of the fault that it met, or empty.
        surface: name of the OpenAI surface, or empty for a probe.
    """

    method: str
    path: str
    query: str
    headers: tuple[Header, ...]
    body: bytes
    connection: int
    fault: str = ""
    surface: str = ""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or ``None``."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)

    @cached_property
    def json(self) -> object:
        """The body as JSON, or ``None`` when it is not."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body's object; empty when it is not one."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def model(self) -> str:
        """The model asked for, or empty."""
        name = self.fields.get("model", "")
        return name if isinstance(name, str) else ""

    @property
    def stream(self) -> bool:
        """Whether events were asked for."""
        return self.fields.get("stream") is True


@dataclass
class ServerState:
    """What a dialect answers from.

    Attributes:
        name: of the backend; replies name it.
        models: what it serves now.
        key: the key that it asks for, or ``None``.
        loading: whether its model is still loading.
        version: the server's own version; empty is the dialect's default.
        router: llama.cpp in router mode.
        served: how many replies it has made, for ids.
        side_effects: what probes have caused that a probe must not: generating, loading, waking,
            an error in the user's log.
    """

    name: str
    models: tuple[FakeModel, ...] = ()
    key: str | None = None
    loading: bool = False
    version: str = ""
    router: bool = False
    served: int = 0
    side_effects: list[str] = field(default_factory=list)

    def model(self, name: str) -> FakeModel | None:
        """Return the model of that exact name."""
        return next((model for model in self.models if model.id == name), None)
