"""How each backend spells each trouble: documented replies, each with its source."""

from __future__ import annotations

import json

import pytest
from tests.backends.replies import synthetic

from nexus.backends import ADAPTERS, ErrorReading
from nexus.domain import BackendType, FailureKind

O, V, L = BackendType.OLLAMA, BackendType.VLLM, BackendType.LLAMACPP  # noqa: E741 (columns of the table)
M, X, S = BackendType.LMSTUDIO, BackendType.EXO, BackendType.SGLANG
A, G = BackendType.OPENAI, BackendType.GENERIC
I, T = BackendType.LOCALAI, BackendType.TGI  # noqa: E741 (columns of the table)
K = FailureKind


def nested(message: str, **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


def bare(message: str) -> dict[str, object]:
    return {"error": message}


STATUSES = [
    (500, K.SERVER_ERROR, None),
    (502, K.SERVER_ERROR, None),
    (999, K.SERVER_ERROR, None),
    (200, K.SERVER_ERROR, None),
    (408, K.TRY_AGAIN, None),
    (425, K.TRY_AGAIN, None),
    (401, K.CREDENTIALS, None),
    (403, K.CREDENTIALS, None),
    (402, K.BILLING, None),
    (429, K.BUSY, None),
    (503, K.BUSY, None),
    (529, K.BUSY, None),
    (508, K.LOOP, None),
    (302, K.REDIRECT, None),
    (405, K.MISSING_CAPABILITY, "surface:chat"),
    (501, K.MISSING_CAPABILITY, "surface:chat"),
    (404, K.MISSING_CAPABILITY, "surface:chat"),
]
"""Statuses without words: design section 3, the first failure table."""

OTHERS = [
    (G, 200, nested("boom"), K.SERVER_ERROR, "design 3: 200 with an error"),
    (G, 400, nested("bad temperature"), K.CLIENT_ERROR, "design 3"),
    (
        G,
        413,
        b"<html><head><title>413 Request Entity Too Large</title></head></html>",
        K.CLIENT_ERROR,
        "nginx",
    ),
    (G, 422, {"detail": [{"msg": "field required"}]}, K.CLIENT_ERROR, "FastAPI"),
    (G, 404, nested("Previous response with id 'resp_1' not found."), K.CLIENT_ERROR, "OpenAI Responses"),
    (
        A,
        429,
        nested("You exceeded your current quota", code="insufficient_quota"),
        K.BILLING,
        "OpenAI error codes",
    ),
    (
        A,
        429,
        nested("Rate limit reached for gpt-4o", code="rate_limit_exceeded"),
        K.BUSY,
        "OpenAI error codes",
    ),
    (A, 400, nested("Your credit balance is too low"), K.BILLING, "Anthropic"),
    (A, 403, nested("Country not supported"), K.CREDENTIALS, "OpenAI error codes"),
    (
        G,
        429,
        [nested("Resource has been exhausted", status="RESOURCE_EXHAUSTED")],
        K.BUSY,
        "wire.md 6, Gemini",
    ),
    (
        A,
        404,
        nested("The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found"),
        K.UNKNOWN_MODEL,
        "OpenAI",
    ),
    (L, 400, nested("model 'x' not found"), K.UNKNOWN_MODEL, "wire.md 6, router mode"),
    (X, 404, nested("No instance found for model mlx/llama"), K.UNKNOWN_MODEL, "wire.md 2"),
    (G, 404, bare("Model not found"), K.UNKNOWN_MODEL, "wire.md 11, mlx"),
    (
        G,
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}},
        K.UNKNOWN_MODEL,
        "Anthropic",
    ),
    (
        M,
        400,
        bare("No models loaded. Please load a model in the developer page"),
        K.UNKNOWN_MODEL,
        "LM Studio",
    ),
    (M, 400, bare('Failed to load model "x". Error: out of memory'), K.SERVER_ERROR, "LM Studio"),
    (O, 400, nested("invalid image input"), K.CLIENT_ERROR, "Ollama: undecodable data too"),
    (
        A,
        400,
        nested("Unsupported parameter: 'temperature' is not supported with this model."),
        K.CLIENT_ERROR,
        "OpenAI",
    ),
    (A, 400, nested("tool_choice 'required' is not supported"), K.CLIENT_ERROR, "a field, not a capability"),
    (
        O,
        503,
        nested("server busy, please try again.  maximum pending requests exceeded"),
        K.BUSY,
        "wire.md 2",
    ),
    (T, 429, {"error": "Model is overloaded", "error_type": "overloaded"}, K.BUSY, "TGI"),
    (T, 200, {"error": "Model is overloaded", "error_type": "overloaded"}, K.BUSY, "as a first event"),
    (T, 200, nested("no", http_status_code=429), K.BUSY, "wire.md 6, in a stream"),
    (
        T,
        424,
        {"error": "Request failed during generation: x", "error_type": "generation"},
        K.SERVER_ERROR,
        "TGI",
    ),
    (
        T,
        422,
        {"error": "`temperature` must be strictly positive", "error_type": "validation"},
        K.CLIENT_ERROR,
        "TGI",
    ),
    (T, 503, {"error": "unhealthy", "error_type": "healthcheck"}, K.BUSY, "wire.md 2"),
    (I, 503, {"error": "model is loading", "loading": {"state": "loading"}}, K.LOADING, "wire.md 2, LocalAI"),
    (I, 503, {"error": {"message": "soon"}, "loading": {"state": "queued"}}, K.LOADING, "wire.md 2, LocalAI"),
    (I, 500, nested("rpc error: code = Unavailable desc = EOF", code=500), K.SERVER_ERROR, "LocalAI"),
    (
        I,
        404,
        nested('model "x" not found', code="model_not_found"),
        K.UNKNOWN_MODEL,
        "LocalAI: code is a string, too",
    ),
    (L, 200, nested("Loading model", type="unavailable_error", code=503), K.LOADING, "as a first event"),
    (
        G,
        200,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        K.BUSY,
        "wire.md 8a",
    ),
    (G, 200, nested("no", type="authentication_error"), K.CREDENTIALS, "as a first event"),
]


def read(backend: BackendType, status: int, body: object) -> ErrorReading:
    reply = synthetic(body, status)
    reading = ADAPTERS[backend].read_error(status, reply.body, reply.headers, surface="chat")
    assert reading.message
    return reading


@pytest.mark.parametrize("backend", BackendType)
@pytest.mark.parametrize(("status", "kind", "learns"), STATUSES)
def test_statuses(backend: BackendType, status: int, kind: FailureKind, learns: str | None) -> None:
    empty: tuple[object, ...] = (b"", {})
    for body in empty:
        reading = read(backend, status, body)
        assert (reading.kind, reading.capability, reading.context_length) == (kind, learns, None)


@pytest.mark.parametrize(("backend", "status", "body", "kind", "source"), OTHERS)
def test_others(backend: BackendType, status: int, body: object, kind: FailureKind, source: str) -> None:
    reading = read(backend, status, body)
    assert (reading.kind, reading.capability, reading.context_length) == (kind, None, None), source


@pytest.mark.parametrize("kind", BackendType)
@pytest.mark.parametrize(
    "status", [200, 400, 401, 402, 403, 404, 408, 413, 429, 500, 501, 503, 508, 529, 999]
)
def test_messages_are_sentences(kind: BackendType, status: int) -> None:
    reading = ADAPTERS[kind].read_error(status, b"")
    assert str(status) in reading.message
    page = b"<!DOCTYPE html><html><head><title>Gateway\n trouble</title></head><body><h1>x</h1></body></html>"
    assert ADAPTERS[kind].read_error(status, page).message == "Gateway trouble"


def test_a_redirect_names_its_target_without_addresses_or_credentials() -> None:
    reading = ADAPTERS[G].read_error(307, b"", [(b"Location", b"https://user:pw@10.0.0.7/v1/")])
    assert reading.message.startswith("redirects (307) to ")
    assert "10.0.0.7" not in reading.message
    assert "pw" not in reading.message


def test_an_unknown_path_names_the_surface_that_was_asked_for() -> None:
    body = json.dumps({"detail": "Not Found"}).encode()
    assert ADAPTERS[V].read_error(404, body, surface="messages").capability == "surface:messages"
    assert ADAPTERS[V].read_error(404, body).capability is None


def test_secrets_in_quotes_are_cut() -> None:
    body = json.dumps(nested("Incorrect API key provided: sk-" + "a" * 40)).encode()
    message = ADAPTERS[A].read_error(401, body).message
    assert "sk-aaaa" not in message
    assert len(ADAPTERS[A].read_error(500, json.dumps(nested("x" * 5000)).encode()).message) <= 500
