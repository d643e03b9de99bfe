"""What all dialects share: routes, fixtures, and the natural refusals of a server.

A dialect turns a request into the reply that this type of server sends. It is data for the most
part: which paths it answers, with which fixture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from nexus.testing import template
from nexus.testing.dialects.names import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES
from nexus.testing.dialects.prompt import prompt_text
from nexus.testing.dialects.replies import Fixtures
from nexus.testing.fixtures import load
from nexus.testing.models import FakeModel, RecordedRequest, ServerState
from nexus.testing.reply import Reply

_WORDS: Final = re.compile(r"\s*\S+")


class Dialect(Fixtures):
    """One type of server.

    Attributes:
        kind: name by which a backend of it is added.
        surfaces: OpenAI surfaces that it has.
        static: path of a GET to the fixture that answers it.
        open_paths: prefixes that need no key.
        ignores_model: any model name is served.
        reads_max_completion_tokens: whether it knows the newer name of ``max_tokens``.
        keep_alive: header lines added to a reply on a connection that stays.
    """

    kind: ClassVar[str] = "generic"
    surfaces: ClassVar[frozenset[str]] = frozenset({CHAT, COMPLETIONS, EMBEDDINGS})
    static: ClassVar[Mapping[str, str]] = {}
    open_paths: ClassVar[tuple[str, ...]] = ()
    ignores_model: ClassVar[bool] = False
    reads_max_completion_tokens: ClassVar[bool] = True
    keep_alive: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()

    def respond(self, request: RecordedRequest, state: ServerState) -> Reply:
        """Return what this server answers to ``request``."""
        state.served += 1
        if (door := self.door(request, state)) is not None:
            return door
        if request.surface in self.surfaces:
            if request.method != "POST":
                return self.wrong_method()
            return self.surface(request, state)
        return self.native(request, state) or self._listed(request, state) or self.not_found(request, state)

    def _listed(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        if request.method not in {"GET", "HEAD"}:
            return None
        if request.path == "/v1/models":
            return self.list_models(state)
        name = self.static.get(request.path)
        return None if name is None else self.fixture(name)

    def door(self, request: RecordedRequest, state: ServerState) -> Reply | None:
        """Return the refusal of a request that has no valid key or comes too early."""
        if state.key is not None and not request.path.startswith(self.open_paths or ("\x00",)):
            bearer = request.header("authorization")
            if bearer != f"Bearer {state.key}" and request.header("x-api-key") != state.key:
                return self.fixture("unauthorized")
        if state.loading:
            return self.loading(request)
        return None

    def native(self, request: RecordedRequest, state: ServerState) -> Reply | None:  # noqa: ARG002 - a hook
        """Return the reply to a path that only this type of server has, or ``None``."""
        return None

    def loading(self, request: RecordedRequest) -> Reply | None:  # noqa: ARG002 - a hook
        """Return what a server says whose model is loading."""
        return self.fixture("loading")

    def not_found(self, request: RecordedRequest, state: ServerState) -> Reply:  # noqa: ARG002 - a hook
        """Return what an unknown path gets."""
        return self.fixture("not-found")

    def wrong_method(self) -> Reply:
        """Return what a ``GET`` on a surface gets."""
        return self.fixture("method-not-allowed")

    # -- surfaces

    def surface(self, request: RecordedRequest, state: ServerState) -> Reply:
        """Return the reply of an OpenAI surface."""
        refusal = self.invalid(request) or self.unserved(request, state)
        if refusal is not None:
            return refusal
        model = self.serving(request, state)
        if model is None:
            return self.unknown_model(request, state)
        refusal = self.incapable(request, model)
        if refusal is not None:
            return refusal
        return self.answer(request, model, state)

    def invalid(self, request: RecordedRequest) -> Reply | None:
        """Return the refusal of a body that this server cannot read."""
        if not isinstance(request.json, dict):
            return self.fixture("bad-json")
        if request.surface in {CHAT, MESSAGES} and not isinstance(request.json.get("messages"), list):
            return self.fixture("missing-messages")
        return None

    def unserved(self, request: RecordedRequest, state: ServerState) -> Reply | None:  # noqa: ARG002 - a hook
        """Return the refusal that comes before the model is looked up."""
        return None

    def serving(self, request: RecordedRequest, state: ServerState) -> FakeModel | None:
        """Return the model that answers, or ``None`` when the name is unknown."""
        if self.ignores_model and state.models:
            return state.model(request.model) or state.models[0]
        return state.model(request.model)

    def incapable(self, request: RecordedRequest, model: FakeModel) -> Reply | None:
        """Return the refusal of what the model cannot do."""
        if request.surface == EMBEDDINGS:
            return None if model.embeddings else self.missing("embeddings")
        prompt = prompt_text(request.fields)
        if b'"image_url"' in request.body and not model.vision:
            return self.missing("vision")
        if request.fields.get("tools") and not model.tools:
            return self.missing("tools")
        if len(prompt) // 4 > model.context:
            return self.overflow(len(prompt) // 4, model.context)
        return None

    def answer(self, request: RecordedRequest, model: FakeModel, state: ServerState) -> Reply:
        """Return the reply of a request that the model can serve."""
        if request.surface == EMBEDDINGS:
            return self.embed(request, model)
        prompt = max(1, len(prompt_text(request.fields)) // 4)
        if request.surface == COUNT_TOKENS:
            return self.fixture(COUNT_TOKENS, prompt=prompt)
        text = (
            model.reply
            if model.reply is not None
            else f"{state.name} answers as {model.id}: all is well here."
        )
        words = _WORDS.findall(text) or [""]
        limit = self.limit(request.fields)
        cut = limit is not None and limit < len(words)
        words = words[:limit] if cut else words
        values = self.values(model.id, state.served, prompt, len(words), cut)
        values["text"] = template.inner("".join(words))
        if not request.stream:
            return self.filled(request.surface, values)
        return self.streamed(request, words, values)

    def limit(self, fields: Mapping[str, Any]) -> int | None:
        """Return how many tokens the request allows, as this server reads it."""
        keys = ["max_tokens", "max_output_tokens"]
        if self.reads_max_completion_tokens:
            keys.insert(0, "max_completion_tokens")
        return next(
            (fields[key] for key in keys if isinstance(fields.get(key), int) and fields[key] > 0), None
        )

    # -- what a server says when it will not

    def unknown_model(self, request: RecordedRequest, state: ServerState) -> Reply:
        """Return the refusal of a model name."""
        aliases = ", ".join(model.id for model in state.models)
        return self.fixture("unknown-model", model=request.model, aliases=aliases)

    def overflow(self, prompt: int, context: int) -> Reply:
        """Return the refusal of a prompt that is too long."""
        return self.fixture("context-overflow", prompt=prompt, context=context)

    def missing(self, what: str) -> Reply:
        """Return the refusal of a capability: ``vision``, ``tools`` or ``embeddings``."""
        return self.fixture(f"no-{what}")

    def stream_error(self) -> tuple[bytes, ...]:
        """Return the events with which this server breaks off, ``[DONE]`` included if it sends it."""
        return tuple(event.raw for event in template.events_of(load(self.server, "stream-error")))

    def death(self) -> tuple[tuple[bytes, ...], bool]:
        """Return the last events of a server that is killed mid-stream, and whether the end is clean."""
        return (), False

    # -- lists

    def list_models(self, state: ServerState) -> Reply:
        """Return ``/v1/models``."""
        value = msgspec.json.decode(load(self.server, "models").body)
        row = value["data"][0]
        value["data"] = [self.row(dict(row), model) for model in state.models]
        return self.json(value, "models")

    def row(self, row: dict[str, Any], model: FakeModel) -> dict[str, Any]:
        """Return one row of the list, from a recorded one."""
        row["id"] = model.id
        for key in ("root", "hugging_face_id", "name", "base_model"):
            if key in row:
                row[key] = model.id
        if "max_model_len" in row:
            row["max_model_len"] = model.context
        if "context_length" in row:
            row["context_length"] = model.context
        return row
