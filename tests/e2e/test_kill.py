"""Two real servers, killed and restarted in turn under open-loop load: what another can serve is not lost."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import pytest
from tests.e2e.conftest import StartNexus
from tests.support.client import RawReply
from tests.support.load import Load, cut_after_first_byte
from tests.support.process import NexusProcess, backends_toml, until

from nexus.demo.llama import LlamaServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MODEL = "smollm2-135m"
KILLS = 10


def chat(_: random.Random) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def in_service(nexus: NexusProcess, *names: str) -> bool:
    """Whether Nexus would send a request to each of them now."""
    rows = [nexus.backend(name) for name in names]
    return all(row["status"] == "healthy" and not row["models"][0]["busy_seconds"] for row in rows)


def holds(nexus: NexusProcess, name: str) -> bool:
    """Whether a frozen backend holds a request.

    Asked twice: what it had sent before it was frozen is read by the time of the second answer.
    """
    return all(nexus.backend(name)["in_flight"] for _ in range(2))


async def start_pair(start_nexus: StartNexus, pair: tuple[LlamaServer, LlamaServer]) -> NexusProcess:
    toml = backends_toml(("a", pair[0].url), ("b", pair[1].url))
    nexus = await asyncio.to_thread(start_nexus, toml=toml)
    await until(lambda: nexus.healthy("a", "b"))
    return nexus


async def test_no_request_without_a_byte_is_lost_to_ten_kills(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer]
) -> None:
    nexus = await start_pair(start_nexus, llama_pair)
    load = Load(nexus, chat)
    async with load.arriving():
        for number in range(KILLS):
            name, victim = "ab"[number % 2], llama_pair[number % 2]
            await asyncio.to_thread(victim.freeze)
            await until(partial(holds, nexus, name))
            await asyncio.to_thread(victim.kill)
            await asyncio.to_thread(victim.restart)
            await until(lambda: in_service(nexus, "a", "b"))
            # Who met the victim while it was down has the other one left, and that one must not die yet.
            await load.settled()
    print(f"{len(load.replies)} requests, {load.sent_again} sent again, {load.cut} streams cut")  # noqa: T201
    assert not load.lost
    assert load.sent_again >= KILLS
    await until(lambda: len(nexus.log_lines(event="request")) == len(load.replies))
    assert "Traceback" not in nexus.errors
    assert [nexus.backend(name)["in_flight"] for name in "ab"] == [0, 0]


@pytest.mark.parametrize("number", [0, 1])
async def test_a_stream_that_is_cut_after_its_first_byte_says_so_once(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer], number: int
) -> None:
    nexus = await start_pair(start_nexus, llama_pair)
    name, victim = "ab"[number], llama_pair[number]
    streams = 2
    clients = [nexus.client() for _ in range(streams)]
    begun: list[RawReply] = []
    for client in clients:
        await client.__aenter__()
        body = {"model": f"{name}/{MODEL}", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 64}
        client.send("POST", "/v1/chat/completions", body | {"stream": True, "ignore_eos": True})
        begun.append(await client.read_reply(until=1))
    await asyncio.to_thread(victim.kill)
    for client, start in zip(clients, begun, strict=True):
        rest = await client.read_reply()
        assert rest is start
        assert rest.header("x-nexus-backend") == name
        assert 'finish_reason":"' not in rest.body.decode()
        assert cut_after_first_byte(True, rest), rest.body
        assert rest.body.endswith(b"\n\n")
        await client.__aexit__()
