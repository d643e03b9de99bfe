"""Context lengths by a real server's own tokenizer: what fits is served, what overflows moves on."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import random
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.conftest import MakeLlama
from tests.e2e.conftest import StartNexus
from tests.support.client import RawReply
from tests.support.process import NexusProcess, backends_toml, until

from nexus.demo.llama import LlamaServer

pytestmark = pytest.mark.real

CHAT = "/v1/chat/completions"
CONTEXT = 256
TEXTS: dict[str, str] = {
    "english": "The quick brown fox jumps over the lazy dog while considerable internationalisation happens. "
    * 40,
    "cjk": "网關把請求交給後端。こんにちは世界、안녕하세요. " * 40,
    "base64": base64.b64encode(random.Random(7).randbytes(3000)).decode(),
    "code": "def merge(left: list[int]) -> int:\n    return sum(left) + 1\n\n\n" * 40,
}
# A few more tokens than fit. What goes to the large server begins alike, so that it prefills only once.
OVERFLOW = "a b c d e f " * 50


def post(server: LlamaServer, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def tokens(server: LlamaServer, text: str) -> int:
    """What the whole prompt counts, template included, by the server itself."""
    prompt = json.loads(post(server, "/apply-template", {"messages": messages(text)})[1])["prompt"]
    body = {"content": prompt, "add_special": True, "parse_special": True}
    return len(json.loads(post(server, "/tokenize", body)[1])["tokens"])


def longest(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of ``text`` that still fits."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle - 1)
    return text[:low]


def chat(text: str, **fields: object) -> dict[str, Any]:
    return {"model": "smollm2-135m", "messages": messages(text), "max_tokens": 1, **fields}


async def ask(nexus: NexusProcess, body: dict[str, Any]) -> RawReply:
    async with nexus.client() as client:
        client.send("POST", CHAT, body)
        return await client.read_reply()


@pytest.fixture
def small(make_llama: MakeLlama) -> LlamaServer:
    return make_llama(context=CONTEXT, slots=1)


async def test_a_prompt_that_fits_is_never_refused(start_nexus: StartNexus, small: LlamaServer) -> None:
    nexus = await asyncio.to_thread(start_nexus, toml=backends_toml(("small", small.url)))
    await until(lambda: nexus.backend("small")["models"][0]["context_length"] == CONTEXT)
    for number in range(20):  # enough for Nexus to trust what it has learned about bytes and tokens
        assert (await ask(nexus, chat(f"internationalization {number}"))).status == 200
    for kind, text in TEXTS.items():
        fitting = await asyncio.to_thread(longest, text, lambda part: tokens(small, part) < CONTEXT)
        assert len(fitting) < len(text), kind
        reply = await ask(nexus, chat(fitting))
        assert reply.status == 200, (kind, reply.body)
        assert CONTEXT - 4 < reply.json["usage"]["prompt_tokens"] < CONTEXT, kind


@pytest.mark.parametrize("stream", [False, True])
async def test_an_overflow_is_told_in_the_servers_own_words_when_nobody_is_larger(
    start_nexus: StartNexus, small: LlamaServer, stream: bool
) -> None:
    nexus = await asyncio.to_thread(start_nexus, toml=backends_toml(("small", small.url)))
    body = chat(OVERFLOW, stream=stream)
    reply = await ask(nexus, body)
    status, direct = await asyncio.to_thread(post, small, CHAT, body)
    assert (reply.status, reply.body) == (status, direct)
    assert (reply.status, reply.error["type"]) == (400, "exceed_context_size_error")
    assert reply.header("x-nexus-backend") == "small"
    assert nexus.backend("small")["failures"] == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_overflow_goes_to_a_larger_context(
    start_nexus: StartNexus, small: LlamaServer, llama_pair: tuple[LlamaServer, LlamaServer], stream: bool
) -> None:
    toml = backends_toml(("small", small.url), ("large", llama_pair[0].url), small="priority = 1")
    nexus = await asyncio.to_thread(start_nexus, toml=toml)
    await until(lambda: nexus.healthy("small", "large"))
    assert (await ask(nexus, chat("Hi", stream=stream))).header("x-nexus-backend") == "small"
    moved = await ask(nexus, chat(OVERFLOW, stream=stream))
    assert (moved.status, moved.complete) == (200, True)
    assert moved.header("x-nexus-backend") == "large"
    assert moved.header("x-nexus-attempts") == "2"
    assert moved.header("x-nexus-route-reason") == "failover"


async def test_what_cannot_fit_goes_straight_to_who_has_room(
    start_nexus: StartNexus, small: LlamaServer, llama_pair: tuple[LlamaServer, LlamaServer]
) -> None:
    too_long = chat(OVERFLOW + "-" * CONTEXT * 6)
    toml = backends_toml(("small", small.url), ("large", llama_pair[0].url), small="priority = 1")
    nexus = await asyncio.to_thread(start_nexus, toml=toml)
    await until(lambda: nexus.healthy("small", "large"))
    reply = await ask(nexus, too_long)
    assert (reply.status, reply.header("x-nexus-backend")) == (200, "large")
    assert reply.header("x-nexus-attempts") is None
    alone = await asyncio.to_thread(start_nexus, toml=backends_toml(("small", small.url)))
    judged = await ask(alone, too_long)
    assert (judged.status, judged.error["type"]) == (400, "exceed_context_size_error")
    assert alone.backend("small")["attempts"] == 1


async def test_what_no_text_could_fit_is_not_even_asked(start_nexus: StartNexus, small: LlamaServer) -> None:
    alone = await asyncio.to_thread(start_nexus, toml=backends_toml(("small", small.url)))
    await until(lambda: alone.healthy("small"))
    refused = await ask(alone, chat("-" * CONTEXT * 25))
    (rejection,) = refused.error["context"]["rejections"]
    assert (refused.status, rejection["backend"], rejection["code"]) == (503, "small", "context_length")
    assert not rejection["waiting_may_help"]
    assert alone.backend("small")["attempts"] == 0
