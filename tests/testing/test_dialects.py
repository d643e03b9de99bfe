"""The traps of each type of server, as the fakes set them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.testing.wire import ask, chat, event_shapes, header, payloads, text_of

from nexus.testing import FakeFleet, FakeModel
from nexus.testing.dialects import DIALECTS
from nexus.testing.fixtures import RawReply

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


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_needs_a_model_that_sees(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        blind = await ask(fake, with_image(IMAGE))
        fake.set_models([FakeModel("m", vision=True)])
        seeing = await ask(fake, with_image(IMAGE))
    assert blind.status == {"llamacpp": 500, "tgi": 422, "nexus": 503}.get(kind, 400)
    assert seeing.status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_loading_is_a_503_to_those_who_need_the_model(kind: str) -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add(kind, models=["m"])
        fake.set_loading(True)
        assert (await ask(fake, chat())).status == 503
        fake.set_loading(False)
        assert (await ask(fake, chat())).status == 200
