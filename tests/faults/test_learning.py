"""What refusals teach: missing capabilities, unknown models, contexts that are smaller than thought."""

from __future__ import annotations

from typing import Any, Literal, get_args

import pytest
from tests.faults.rows import ABLE, KINDS, TOOLS, Effect, Pair, asked, image_message, view_of
from tests.support.client import RawClient, RawReply
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus import testing
from nexus.testing import FakeBackend, FakeFleet, FakeModel

Capability = Literal["vision", "tools", "embeddings"]
EMBEDDING = [kind for kind in KINDS if kind not in ("exo", "tgi")]


async def _ask(gateway: RunningGateway, what: str, *, stream: bool) -> RawReply:
    fields: dict[str, Any] = {"tools": TOOLS} if what == "tools" else {"messages": image_message()}
    if what != "embeddings":
        return await gateway.chat(stream=stream, **fields)
    return await gateway.request("POST", "/v1/embeddings", {"model": "m", "input": "Hello"})


CAPABILITIES = [
    (kind, what, stream)
    for what in get_args(Capability)
    for kind in (EMBEDDING if what == "embeddings" else KINDS)
    for stream in ((False,) if what == "embeddings" else (False, True))
]


@pytest.mark.parametrize(("kind", "what", "stream"), CAPABILITIES)
async def test_a_missing_capability_is_known_false_until_the_model_list_changes(
    fleet: FakeFleet,
    start: Serve,
    kind: str,
    what: Capability,
    stream: bool,
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.next(testing.MissingCapability(what))
    reply = await _ask(pair.gateway, what, stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good"), reply.body
    assert reply.header("x-nexus-attempts") == "2"
    assert (await pair.gateway.outcome()).attempts[0].failure == "missing_capability"
    pair.shows(Effect.LEARN, "missing_capability", counted=False)
    # vLLM has no such path when no model embeds: it is the surface that is missing.
    lacking = (
        pair.model.lacks_surfaces == ("embeddings",)
        if (kind, what) == ("vllm", "embeddings")
        else (getattr(pair.model.capabilities, what) is False)
    )
    assert lacking, pair.model
    reply = await _ask(pair.gateway, what, stream=stream)
    assert (reply.header("x-nexus-backend"), reply.header("x-nexus-attempts")) == ("good", None)
    assert asked(pair.bad) == 1, "excluded by what is known"
    reply = await pair.gateway.chat(stream=stream)
    assert reply.header("x-nexus-backend") == "bad", "for nothing else"
    pair.bad.set_models([ABLE, FakeModel("another")])
    if kind == "llamacpp":
        # One model a server: a change of list is a change of what it can do.
        pair.bad.set_models([FakeModel("m", vision=what != "vision", tools=True, embeddings=True)])
    if kind == "tgi":
        # It tells of its one model nothing but the name: another one is another list.
        pair.bad.set_models([FakeModel("another")])
        pair.gateway.nexus.registry.wish_refresh("bad")
        await pair.gateway.until(lambda: [model.id for model in pair.view.models] == ["another"])
        pair.bad.set_models([ABLE])
    pair.gateway.nexus.registry.wish_refresh("bad")
    await pair.gateway.until(lambda: "m" in {model.id for model in pair.view.models})
    await pair.gateway.until(lambda: not pair.model.lacks_surfaces and _forgotten(pair, what))
    reply = await _ask(pair.gateway, what, stream=stream)
    if kind != "llamacpp":
        assert reply.header("x-nexus-backend") == "bad"


def _forgotten(pair: Pair, what: str) -> bool:
    return getattr(pair.model.capabilities, what) is not False or pair.bad.kind == "llamacpp"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_refreshes_the_list(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool
) -> None:
    pair = await Pair.start(fleet, start, kind)
    pair.bad.set_models([FakeModel("renamed")])
    pair.bad.next(testing.UnknownModel())
    reply = await pair.gateway.chat(stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "good")
    await pair.gateway.until(lambda: [model.id for model in pair.view.models] == ["renamed"])
    assert (await pair.gateway.chat(stream=stream)).header("x-nexus-attempts") is None
    assert asked(pair.bad) == 1
    assert (await pair.gateway.chat("renamed", stream=stream)).header("x-nexus-backend") == "bad"


# -- context overflow

STATED = [kind for kind in KINDS if kind != "ollama"]
"""Ollama says that the input is too long, and not how long it may be."""


def contexts(*known: int | None) -> dict[str, str]:
    """A table for each backend; the contexts are configured, so that every type has a known one."""
    return {
        f"b{at}": f"priority = {at}\nslots = 100\n"
        + (f'[[backends.model]]\nname = "m"\ncontext_length = {context}\n' if context is not None else "")
        for at, context in enumerate(known)
    }


async def backends_of(fleet: FakeFleet, kind: str, count: int) -> list[FakeBackend]:
    return [
        await fleet.add(kind, models=[FakeModel("m", context=8192)], name=f"b{at}") for at in range(count)
    ]


def context_of(gateway: RunningGateway, name: str) -> int | None:
    return view_of(gateway, name).models[0].context_length


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_overflow_goes_to_a_larger_known_context_only(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool
) -> None:
    tight, same, large = backends = await backends_of(fleet, kind, 3)
    gateway = await start(backend_toml(*backends, **contexts(4096, 4096, 16384)))
    # A server that states its limit states another than the one that was known.
    tight.next(testing.ContextOverflow(n_ctx=4096))
    reply = await gateway.chat(stream=stream)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "b2"), reply.body
    assert [asked(backend) for backend in (tight, same, large)] == [1, 0, 1]
    assert (await gateway.outcome()).attempts[0].failure == "context_overflow"
    view = view_of(gateway, "b0")
    assert (view.status, view.failures, view.models[0].resting_seconds) == ("healthy", {}, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_overflow_that_nobody_larger_can_take_is_relayed_verbatim(
    fleet: FakeFleet, start: Serve, kind: str, stream: bool
) -> None:
    """An unknown context is not a larger one."""
    backends = await backends_of(fleet, kind, 2)
    gateway = await start(backend_toml(*backends, **contexts(4096, 4096)))
    alone = await fleet.add(kind, models=["m"])
    alone.next(testing.ContextOverflow(n_ctx=4096))
    async with backend_client(alone) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": [], "stream": stream})
        expected = await client.read_reply()
    backends[0].next(testing.ContextOverflow(n_ctx=4096))
    reply = await gateway.chat(stream=stream)
    assert (reply.status, reply.body, reply.complete) == (expected.status, expected.body, True)
    assert reply.header("x-nexus-backend") == "b0"
    assert asked(backends[1]) == 0
    assert (await gateway.outcome()).attempts[0].failure == "context_overflow"


def backend_client(backend: FakeBackend) -> RawClient:
    return RawClient(backend.host, backend.port)


@pytest.mark.parametrize("kind", STATED)
async def test_the_known_context_is_corrected_by_what_the_backend_says(
    fleet: FakeFleet, start: Serve, kind: str
) -> None:
    tight, _ = backends = await backends_of(fleet, kind, 2)
    gateway = await start(backend_toml(*backends, **contexts(8192, 16384)))
    tight.next(testing.ContextOverflow(n_ctx=2048, n_prompt=2049))
    assert (await gateway.chat()).header("x-nexus-backend") == "b1"
    assert context_of(gateway, "b0") == 2048
    assert context_of(gateway, "b1") == 16384
    reply = await gateway.chat(messages=[{"role": "user", "content": "x" * 6 * 3000}])
    assert (reply.header("x-nexus-backend"), reply.header("x-nexus-attempts")) == ("b1", None)
    assert asked(tight) == 1, "excluded by what is known now"
    assert (await gateway.chat()).header("x-nexus-backend") == "b0"


@pytest.mark.parametrize("code", [400, 413])
async def test_an_overflow_is_read_from_400_and_413(fleet: FakeFleet, start: Serve, code: int) -> None:
    backends = await backends_of(fleet, "vllm", 2)
    gateway = await start(backend_toml(*backends, **contexts(4096, 8192)))
    body = b'{"error":{"message":"This model\'s maximum context length is 2000 tokens.","code":"x"}}'
    backends[0].next(testing.Status(code, body))
    assert (await gateway.chat()).header("x-nexus-backend") == "b1"
    assert context_of(gateway, "b0") == 2000


async def test_when_the_larger_one_fails_otherwise_the_first_answer_stands(
    fleet: FakeFleet, start: Serve
) -> None:
    backends = await backends_of(fleet, "vllm", 2)
    gateway = await start(backend_toml(*backends, **contexts(4096, 8192)))
    backends[0].next(testing.ContextOverflow(n_ctx=4096))
    backends[1].next(testing.ServerError())
    reply = await gateway.chat()
    assert (reply.status, reply.header("x-nexus-backend")) == (400, "b0")
    assert "context length" in reply.error["message"]
