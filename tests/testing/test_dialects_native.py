"""What each type of server says of itself, and its traps."""

from __future__ import annotations

import json
from typing import Any

from tests.testing.wire import ask, chat, header, raw

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


async def test_ollama_cuts_a_long_prompt_silently() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("ollama", models=[FakeModel("m", context=100)])
        reply = await ask(fake, {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]})
    assert reply.status == 200


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


async def test_localai_and_tgi_look_the_part() -> None:
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


async def test_probes_that_do_harm_are_told() -> None:
    async with FakeFleet() as fleet:
        sglang = await fleet.add("sglang")
        router = await fleet.add("llamacpp", models=[FakeModel("cold", loaded=False)], router=True)
        lmstudio = await fleet.add("lmstudio")
        for fake, path in (
            (sglang, "/ready"),
            (sglang, "/v1/models"),
            (router, "/props?model=cold&autoload=false"),
            (lmstudio, "/api/v1/models"),
        ):
            await ask(fake, None, path)
            assert fake.side_effects == []
        assert not router.models[0].loaded
        await ask(sglang, None, "/health")
        await ask(router, None, "/props?model=cold")
        await ask(lmstudio, None, "/metrics")
    assert sglang.side_effects == ["GET /health generates a token"]
    assert router.side_effects == ["GET /props?model=cold loads the model"]
    assert router.models[0].loaded
    assert lmstudio.side_effects == ["Unexpected endpoint or method. (GET /metrics)"]
