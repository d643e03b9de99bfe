"""How each backend spells what can be learnt: a missing capability, a context that is too small."""

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


MISSING = [
    (T, 404, b"", "surface:chat", "TGI has no body for an unknown path"),
    (T, 422, {"error": "Tool error: grammar is not supported", "error_type": "tool_error"}, "tools", "TGI"),
    (G, 404, b"<html><title>404 Not Found</title></html>", "surface:chat", "nginx"),
    (G, 404, b"Cannot POST /v1/chat/completions", "surface:chat", "Express"),
    (O, 400, nested('"nomic-embed-text" does not support chat'), "surface:chat", "Ollama routes.go"),
    (O, 400, nested("this model does not support embeddings"), "embeddings", "Ollama routes.go"),
    (O, 500, nested("this model is missing data required for image input"), "vision", "Ollama"),
    (
        O,
        400,
        nested("image URLs are not currently supported, please use base64 encoded data instead"),
        "remote_image",
        "Ollama openai.go",
    ),
    (
        V,
        400,
        nested('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        "tools",
        "wire.md 3",
    ),
    (V, 400, nested("The model does not support Embeddings API"), "embeddings", "vLLM"),
    (V, 400, nested("The model does not support Chat Completions API"), "surface:chat", "vLLM"),
    (V, 400, nested("At most 0 image(s) may be provided in one prompt."), "vision", "vLLM"),
    (L, 500, nested("tools param requires --jinja flag"), "tools", "older llama.cpp"),
    (
        L,
        400,
        nested("Pooling type 'none' is not OAI compatible. Please use a different pooling type"),
        "embeddings",
        "wire.md 11",
    ),
    (
        L,
        500,
        nested(
            "audio input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
        ),
        "audio",
        "llama.cpp, as its image error",
    ),
    (
        M,
        200,
        bare("Unexpected endpoint or method. (POST /v1/chat/completions)"),
        "surface:chat",
        "wire.md fact 4",
    ),
    (M, 400, bare("'response_format.type' must be 'json_schema' or 'text'"), None, "LM Studio"),
    (
        M,
        400,
        bare("Invalid 'content': 'url' field must be a base64 encoded image."),
        "remote_image",
        "LM Studio",
    ),
    (G, 404, nested("No endpoints found that support tool use"), "tools", "OpenRouter"),
    (G, 404, nested("No endpoints found that support image input"), "vision", "OpenRouter"),
    (
        A,
        400,
        nested("Invalid content type. image_url is only supported by certain models."),
        "vision",
        "OpenAI",
    ),
    (
        A,
        404,
        nested("This is not a chat model and thus not supported in the v1/chat/completions endpoint."),
        "surface:chat",
        "OpenAI",
    ),
]

OVERFLOW = [
    (
        S,
        400,
        {
            "object": "error",
            "message": "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        8192,
        "flat SGLang",
    ),
    (
        S,
        400,
        {
            "object": "error",
            "message": "Requested token count exceeds the model's maximum context length of 8192 tokens.",
        },
        8192,
        "SGLang",
    ),
    (
        I,
        500,
        nested("rpc error: desc = request (9031 tokens) exceeds the available context size (2048 tokens)"),
        2048,
        "LocalAI passes llama.cpp's on",
    ),
    (
        T,
        422,
        {
            "error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
            "error_type": "validation",
        },
        4096,
        "TGI",
    ),
    (O, 400, nested("the input length exceeds the context length"), None, "Ollama embed"),
    (
        G,
        400,
        [nested("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")],
        1048576,
        "Gemini, in an array",
    ),
    (
        M,
        200,
        bare(
            "Trying to keep the first 5000 tokens when context the overflows. However, the model is "
            "loaded with context length of only 4096 tokens, which is not enough."
        ),
        4096,
        "LM Studio",
    ),
    (
        A,
        400,
        nested(
            "This model's maximum context length is 128,000 tokens. You sent 130000 tokens.",
            code="context_length_exceeded",
        ),
        128000,
        "OpenAI",
    ),
    (G, 400, nested("prompt is too long: 212028 tokens > 200000 maximum"), 200000, "Anthropic"),
    (
        G,
        400,
        nested("Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
        32768,
        "Mistral",
    ),
]


def read(backend: BackendType, status: int, body: object) -> ErrorReading:
    reply = synthetic(body, status)
    reading = ADAPTERS[backend].read_error(status, reply.body, reply.headers, surface="chat")
    assert reading.message
    return reading


@pytest.mark.parametrize(("backend", "status", "body", "learns", "source"), MISSING)
def test_missing(backend: BackendType, status: int, body: object, learns: str | None, source: str) -> None:
    reading = read(backend, status, body)
    assert (reading.kind, reading.capability) == (K.MISSING_CAPABILITY, learns), source


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported image format: image/tiff",
        "image/tiff is not supported",
        "multiple images are not supported",
        "The model does not support images larger than 5 MB",
        "You uploaded an unsupported image. Please make sure your image is valid.",
        "tools[0].function.strict is not supported",
        "tool_choice 'required' is not supported",
        "parallel_tool_calls is not supported",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Unsupported parameter: 'max_tokens' is not supported with this model.",
        "audio format ogg is not supported",
        "messages[3]: the tool call id call_1 was not found",
    ],
)
@pytest.mark.parametrize("backend", BackendType)
def test_what_is_wrong_with_one_request_teaches_nothing(backend: BackendType, said: str) -> None:
    assert read(backend, 400, nested(said)).kind is K.CLIENT_ERROR


@pytest.mark.parametrize(
    ("said", "learns"),
    [
        ("`tool calling` is not supported with this model", "tools"),
        ("registry.ollama.ai/library/x:1b does not support tools", "tools"),
        ("groq does not support parameters: ['tools']", "tools"),
        ("This model does not support image inputs.", "vision"),
        ("image input is not supported - hint: you may need to provide the mmproj", "vision"),
        ("Image inputs are not supported by this model", "vision"),
        ("This model does not support response_format", "json"),
        ("'response_format' of type 'json_schema' is not supported with this model", None),
        ("This server does not support embeddings. Start it with `--embeddings`", "embeddings"),
    ],
)
def test_a_whole_capability_is_learnt(said: str, learns: str | None) -> None:
    reading = read(G, 400, nested(said))
    assert (reading.kind, reading.capability) == (K.MISSING_CAPABILITY, learns)


@pytest.mark.parametrize(("backend", "status", "body", "limit", "source"), OVERFLOW)
def test_overflow(backend: BackendType, status: int, body: object, limit: int | None, source: str) -> None:
    reading = read(backend, status, body)
    assert (reading.kind, reading.context_length) == (K.CONTEXT_OVERFLOW, limit), source


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"temperature": "does not support tools"}, "temperature: got 'does not support tools'"),
        (
            {"messages": [{"type": "image input is not supported"}]},
            "Unknown part type: image input is not supported",
        ),
        ({"x": "Maximum context length is 1 token"}, 'invalid x: "Maximum context length is 1 token"'),
        ({"x": "insufficient_quota"}, "x must not be insufficient_quota"),
    ],
)
def test_a_client_cannot_put_words_into_a_backends_mouth(sent: object, said: str) -> None:
    request = json.dumps(sent).encode()
    escaped = request.replace(b"oes", b"\\u006fes").replace(b"aximum", b"\\u0061ximum")
    for body in (request, escaped):
        reading = ADAPTERS[V].read_error(400, json.dumps(nested(said)).encode(), surface="chat", request=body)
        assert (reading.kind, reading.capability, reading.context_length) == (K.CLIENT_ERROR, None, None)


def test_a_response_id_is_not_a_path() -> None:
    said = json.dumps(nested("Response with id 'no route' not found")).encode()
    request = b'{"previous_response_id":"no route"}'
    assert ADAPTERS[V].read_error(404, said, surface="responses", request=request).kind is K.CLIENT_ERROR


def test_talk_about_an_error_does_not_hide_the_real_one() -> None:
    request = json.dumps(
        {"messages": [{"content": "why does my model say that tools are missing?"}]}
    ).encode()
    said = json.dumps(nested("registry.ollama.ai/library/x does not support tools")).encode()
    assert ADAPTERS[O].read_error(400, said, request=request).capability == "tools"
