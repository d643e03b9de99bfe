"""How a dialect makes a reply out of fixtures."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any, ClassVar, Final

import msgspec

from nexus.testing import template
from nexus.testing.dialects.names import EMBEDDINGS
from nexus.testing.dialects.prompt import vector
from nexus.testing.fixtures import load, names
from nexus.testing.models import FakeModel, RecordedRequest
from nexus.testing.reply import Framing, Reply, json_reply

_CREATED: Final = b"1795417471"


class Fixtures:
    """The replies of one type of server.

    Attributes:
        server: folder of its fixtures.
    """

    server: ClassVar[str] = "generic"

    def values(self, model: str, serial: int, prompt: int, completion: int, cut: bool) -> dict[str, bytes]:
        """Return what fills the holes of a template."""
        return {
            "model": template.inner(model),
            "aliases": template.inner(model),
            "serial": b"%024d" % serial,
            "created": _CREATED,
            "prompt": b"%d" % prompt,
            "completion": b"%d" % completion,
            "total": b"%d" % (prompt + completion),
            "sequence": b"0",
            "context": b"0",
            "token": b"",
            "text": b"",
            "finish": b'"length"' if cut else b'"stop"',
            "stop": b'"max_tokens"' if cut else b'"end_turn"',
        }

    def streamed(self, request: RecordedRequest, words: list[str], values: dict[str, bytes]) -> Reply:
        """Return a reply in events."""
        options = request.fields.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        name = f"{request.surface}-stream"
        if usage and f"{name}-usage" in names(self.server):
            name = f"{name}-usage"
        elif values["finish"] == b'"length"' and f"{name}-length" in names(self.server):
            name = f"{name}-length"
        reply = load(self.server, name)
        tokens = [template.inner(word) for word in words]
        events, joined = template.stream(self.server, name).render(tokens, values)
        return Reply(
            reply.status,
            reply.headers,
            tuple(events),
            joined,
            Framing.CHUNKED,
            stream=True,
            reason=reply.reason,
        )

    def embed(self, request: RecordedRequest, model: FakeModel) -> Reply:
        """Return vectors in this server's shape, floats or base64 as asked."""
        given = request.fields.get("input", "")
        texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
        coded = request.fields.get("encoding_format") == "base64"
        name = "embeddings-base64" if coded and "embeddings-base64" in names(self.server) else EMBEDDINGS
        body = msgspec.json.decode(load(self.server, name).body)
        row = body["data"][0]
        rows = []
        for at, text in enumerate(texts):
            numbers = vector(f"{model.id}\n{text}")
            value: Any = b64encode(struct.pack("<8f", *numbers)).decode() if coded else numbers
            rows.append({**row, "embedding": value, "index": at})
        tokens = sum(max(1, len(str(text)) // 4) for text in texts)
        body.update(data=rows, model=model.id)
        body["usage"].update(prompt_tokens=tokens, total_tokens=tokens)
        return self.json(body, name)

    def fixture(
        self, name: str, *, model: str = "", prompt: int = 1, context: int = 0, aliases: str | None = None
    ) -> Reply:
        """Return a fixture, with the model and the counts put in."""
        values = self.values(model or "nope-model", 1, prompt, 1, cut=False)
        values["context"] = b"%d" % context
        if aliases is not None:
            values["aliases"] = template.inner(aliases)
        return self.filled(name, values)

    def filled(self, name: str, values: dict[str, bytes]) -> Reply:
        """Return a fixture with its holes filled."""
        if name not in names(self.server):
            return self.plain(name)
        reply = load(self.server, name)
        body = template.whole(self.server, name).render(values)
        framing = Framing.CHUNKED if reply.chunked else Framing.LENGTH
        return Reply(reply.status, reply.headers, (body,), framing=framing, reason=reply.reason)

    def plain(self, name: str) -> Reply:
        """Return a refusal of which this server has no fixture."""
        status = {"method-not-allowed": 405, "not-found": 404, "quota": 429}.get(name, 400)
        kind = "insufficient_quota" if name == "quota" else "invalid_request_error"
        return json_reply(status, self.envelope(status, name.replace("-", " "), kind))

    def envelope(self, status: int, message: str, kind: str = "server_error") -> object:  # noqa: ARG002 - a hook
        """Return an error object in this server's shape."""
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def json(self, value: object, like: str) -> Reply:
        """Return ``value`` with the headers of a fixture."""
        reply = load(self.server, like)
        end = b"\n" if reply.body.endswith(b"\n") else b""
        return Reply(reply.status, reply.headers, (msgspec.json.encode(value) + end,), reason=reply.reason)
