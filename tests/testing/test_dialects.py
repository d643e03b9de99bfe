"""The traps of each type of server, as the fakes set them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.testing.wire import ask, chat, event_shapes, header, payloads, raw, text_of

from nexus.testing import FakeFleet, FakeModel
from nexus.testing.dialects import DIALECTS
from nexus.testing.fixtures import RawReply, parse

KINDS = sorted(DIALECTS)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
REMOTE = {"type": "image_url", "image_url": {"url": "http://pictures.test/cat.png"}}


def with_image(image: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "text", "text": "What is this?"}, image]
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


def decoded(reply: RawReply) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads(reply.body)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_chats_streamed_and_not(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        plain = await ask(fake, chat())
        stream = await ask(fake, chat(stream=True))
    assert (plain.status, stream.status) == (200, 200)
    assert text_of(plain) == text_of(stream) == f"{fake.name} answers as m: all is well here."
    assert decoded(plain)["model"] == "m"
    assert header(stream, b"content-type") in {b"text/event-stream", b"text/event-stream; charset=utf-8"}
    assert payloads(stream)[-1] == "[DONE]"
    assert any('"finish_reason":"stop"' in data for data in payloads(stream))


@pytest.mark.parametrize("kind", KINDS)
async def test_usage_comes_when_asked_for(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        without = payloads(await ask(fake, chat(stream=True)))
        with_usage = payloads(await ask(fake, chat(stream=True, stream_options={"include_usage": True})))
    usages = [
        json.loads(data)["usage"] for data in with_usage if data.startswith("{") and '"usage":{' in data
    ]
    assert [usage["completion_tokens"] for usage in usages] == [8]
    assert any('"usage":{' in data for data in without) == (kind == "exo")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_surface_of_a_kind_answers_streamed_and_not(kind: str) -> None:
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "completions": ("/v1/completions", {"prompt": "Say hi."}),
        "responses": ("/v1/responses", {"input": "Say hi."}),
        "messages": (
            "/v1/messages",
            {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 64},
        ),
    }
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        for surface, (path, body) in bodies.items():
            plain = await ask(fake, {"model": "m", **body}, path)
            stream = await ask(fake, {"model": "m", "stream": True, **body}, path)
            if surface not in DIALECTS[kind].surfaces:
                assert b"answers as" not in plain.body + stream.body
                continue
            assert f"{fake.name} answers as m" in plain.body.decode()
            assert b"well" in stream.body
            last = event_shapes(stream)[-1]
            if surface == "completions":
                assert last[1] == "[DONE]"
            else:
                ends = {"responses": "event: response.completed", "messages": "event: message_stop"}
                assert last[0] == ends[surface]
                assert b"[DONE]" not in stream.body


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "count-tokens" in DIALECTS[kind].surfaces])
async def test_tokens_are_counted(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        body = {"model": "m", "messages": [{"role": "user", "content": "x" * 400}]}
        assert decoded(await ask(fake, body, "/v1/messages/count_tokens"))["input_tokens"] == 100


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"exo", "tgi"}))
async def test_embeddings_depend_on_the_text(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=[FakeModel("m", embeddings=True)])
        rows = decoded(await ask(fake, {"model": "m", "input": ["a", "b", "a"]}, "/v1/embeddings"))["data"]
        fake.set_models(["m"])
        refused = await ask(fake, {"model": "m", "input": "a"}, "/v1/embeddings")
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert rows[0]["embedding"] == rows[2]["embedding"] != rows[1]["embedding"]
    assert refused.status >= 400


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ollama", 404),
        ("vllm", 404),
        ("llamacpp", 200),
        ("lmstudio", 404),
        ("exo", 404),
        ("sglang", 200),
        ("openai", 404),
        ("generic", 404),
        ("localai", 404),
        ("tgi", 200),
    ],
)
async def test_an_unknown_model_gets_what_this_server_says(kind: str, status: int) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        reply = await ask(fake, chat("other"))
    assert reply.status == status
    if status == 404:
        assert b"other" in reply.body
    if kind == "llamacpp":
        assert decoded(reply)["model"] == "m"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"ollama"}))
async def test_a_prompt_that_is_too_long_is_refused_with_the_numbers(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=[FakeModel("m", context=100)])
        reply = await ask(fake, {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]})
    assert reply.status in {400, 422, 500}
    assert b"100" in reply.body
    assert b"1000" in reply.body


async def test_ollama_cuts_a_long_prompt_silently() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=[FakeModel("m", context=100)])
        reply = await ask(fake, {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]})
    assert reply.status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_needs_a_model_that_sees(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        blind = await ask(fake, with_image(IMAGE))
        fake.set_models([FakeModel("m", vision=True)])
        seeing = await ask(fake, with_image(IMAGE))
    assert blind.status == (500 if kind == "llamacpp" else 422 if kind == "tgi" else 400)
    assert seeing.status == 200


async def test_ollama_takes_no_remote_image() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=[FakeModel("m", vision=True)])
        assert (await ask(fake, with_image(REMOTE))).status == 400


async def test_lmstudio_answers_200_to_anything() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("lmstudio", models=["m"])
        reply = await ask(fake, None, "/props")
        greeting = await ask(fake, None, "/lmstudio-greeting")
    assert reply.status == 200
    assert decoded(reply) == {"error": "Unexpected endpoint or method. (GET /props)"}
    assert decoded(greeting) == {"lmstudio": True}
    assert header(reply, b"x-powered-by") == b"Express"


async def test_lmstudio_tells_loaded_context_and_parallel() -> None:
    async with FakeFleet() as fleet:
        models = [FakeModel("m", context=4096, trained_context=32768), FakeModel("cold", loaded=False)]
        fake = await fleet.add("lmstudio", models=models)
        first, second = decoded(await ask(fake, None, "/api/v1/models"))["models"]
        older = decoded(await ask(fake, None, "/api/v0/models"))["data"]
    assert first["max_context_length"] == 32768
    assert first["loaded_instances"][0]["config"] == {
        "context_length": 4096,
        "parallel": 4,
        "flash_attention": True,
    }
    assert second["loaded_instances"] == []
    assert [row["state"] for row in older] == ["loaded", "not-loaded"]


async def test_an_empty_ollama_lists_null() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=[])
        assert (await ask(fake, None, "/v1/models")).body == b'{"object":"list","data":null}\n'
        assert decoded(await ask(fake, None, "/api/tags")) == {"models": []}


async def test_ollama_lists_natively_what_a_model_can_do() -> None:
    model = FakeModel("m:cloud", context=4096, trained_context=40960, vision=True, remote=True)
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=[model, "n"])
        tags = decoded(await ask(fake, None, "/api/tags"))["models"]
        loaded = decoded(await ask(fake, None, "/api/ps"))["models"]
        shown = decoded(await ask(fake, {"model": "n"}, "/api/show"))
        version = decoded(await ask(fake, None, "/api/version"))
    assert tags[0]["capabilities"] == ["completion", "vision", "tools"]
    assert tags[0]["details"]["context_length"] == 40960
    assert tags[0]["remote_host"] == "https://ollama.com:443"
    assert [(row["name"], row["context_length"]) for row in loaded] == [("n", 8192)]
    assert shown["model_info"]["llama.context_length"] == 8192
    assert version == {"version": "0.33.0"}


async def test_ollama_takes_a_name_with_and_without_latest() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=["m:latest"])
        assert (await ask(fake, chat("m"))).status == 200
        assert (await ask(fake, chat("m:latest"))).status == 200


async def test_ollama_refuses_a_foreign_host() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=["m"])
        data = b"GET /v1/models HTTP/1.1\r\nHost: gateway.example.com\r\nConnection: close\r\n\r\n"
        assert parse((await raw(fake, data))[0]).status == 403


async def test_llamacpp_says_who_it_is_on_every_reply() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=[FakeModel("m", context=2048, vision=True)], key="k")
        refused = await ask(fake, None, "/v1/models")
        key = (("X-Api-Key", "k"),)
        listed = await ask(fake, None, "/v1/models", headers=key)
        props = decoded(await ask(fake, None, "/props", headers=key))
        lost = await ask(fake, None, "/nowhere", headers=key)
    assert [header(reply, b"server") for reply in (refused, listed, lost)] == [b"llama.cpp"] * 3
    assert (refused.status, lost.status) == (401, 404)
    assert decoded(listed)["data"][0]["meta"]["n_ctx"] == 2048
    assert decoded(listed)["models"][0]["capabilities"] == ["completion", "multimodal"]
    assert (props["default_generation_settings"]["n_ctx"], props["modalities"]["vision"]) == (2048, True)


async def test_a_llamacpp_router_knows_its_models() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=["m", FakeModel("cold", loaded=False)], router=True)
        listed = decoded(await ask(fake, None, "/models"))["data"]
        props = decoded(await ask(fake, None, "/props"))
        unknown = await ask(fake, chat("other"))
        served = await ask(fake, chat("cold"))
    assert [(row["id"], row["status"]["value"], "meta" in row) for row in listed] == [
        ("m", "loaded", True),
        ("cold", "unloaded", False),
    ]
    assert props["role"] == "router"
    assert (unknown.status, decoded(unknown)["error"]["message"]) == (400, "model 'other' not found")
    assert decoded(served)["model"] == "cold"


async def test_sglang_errors_are_flat_and_its_flags_are_native() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("sglang", models=[FakeModel("m", vision=True, tools=False)])
        info = decoded(await ask(fake, None, "/model_info"))
        root = await ask(fake, None, "/")
        bad = decoded(await ask(fake, b"{", "/v1/chat/completions"))
        one = await ask(fake, None, "/v1/models/m")
    assert (info["has_image_understanding"], info["tool_call_parser"]) == (True, None)
    assert root.body == b'"SGLang is running"'
    assert (bad["object"], bad["code"], "error" in bad) == ("error", 400, False)
    assert decoded(one)["owned_by"] == "sglang"


async def test_exo_lists_a_catalogue_and_places_some() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("exo", models=["placed", FakeModel("shelved", loaded=False)])
        catalogue = decoded(await ask(fake, None, "/v1/models"))["data"]
        placed = decoded(await ask(fake, None, "/ollama/api/ps"))["models"]
        state = decoded(await ask(fake, None, "/state"))["instances"]
        shelved = await ask(fake, chat("shelved"))
        stream = await ask(fake, chat("placed", stream=True))
    assert [row["id"] for row in catalogue] == ["placed", "shelved"]
    assert [row["name"] for row in placed] == ["placed"]
    assert [one["MlxRingInstance"]["shardAssignments"]["modelId"] for one in state.values()] == ["placed"]
    assert (shelved.status, decoded(shelved)["error"]["message"]) == (
        404,
        "No instance found for model shelved",
    )
    assert stream.body.startswith(b": keep-alive\n\n: prefill_progress {")


async def test_impostors_look_the_part() -> None:
    async with FakeFleet() as fleet:
        local = await fleet.add("localai", models=["m"], key="k")
        tgi = await fleet.add("tgi", models=["m"])
        local_known = await ask(local, None, "/.well-known/localai.json")
        refused = await ask(local, None, "/v1/models")
        local.set_key(None)
        pretended = decoded(await ask(local, None, "/api/version"))
        rows = decoded(await ask(local, None, "/v1/models"))["data"]
        owner = decoded(await ask(tgi, None, "/v1/models"))["data"][0]["owned_by"]
        info = decoded(await ask(tgi, None, "/info"))
        stop = await ask(tgi, chat(stop="x"))
    assert local_known.status == 200
    assert (refused.status, header(refused, b"www-authenticate")) == (401, b"Bearer")
    assert pretended == {"version": "0.9.0"}
    assert rows == [{"id": "m", "object": "model"}]
    assert (owner, info["max_total_tokens"], stop.status) == ("m", 8192, 422)


@pytest.mark.parametrize("kind", KINDS)
async def test_loading_is_a_503_to_those_who_need_the_model(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        fake.set_loading(True)
        assert (await ask(fake, chat())).status == 503
        fake.set_loading(False)
        assert (await ask(fake, chat())).status == 200
