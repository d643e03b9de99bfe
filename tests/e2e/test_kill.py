"""Two real servers, killed and restarted in turn under open-loop load: what another can serve is not lost."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from tests.e2e.conftest import StartNexus
from tests.support.client import RawReply
from tests.support.process import NexusProcess, backends_toml, until

from nexus.demo.llama import LlamaServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MODEL = "smollm2-135m"
KILLS = 10
ARRIVALS_A_SECOND = 20
SEED = 20261123


@dataclass
class Load:
    """Requests that arrive at their own pace, whatever becomes of those before."""

    nexus: NexusProcess
    replies: list[tuple[bool, RawReply]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        arrivals = asyncio.create_task(self._arrive())
        try:
            yield
        finally:
            arrivals.cancel()
            await asyncio.wait([arrivals])
            await self.settled()

    async def _arrive(self) -> None:
        rng = random.Random(SEED)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._ask(stream=rng.random() < 0.5))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += rng.expovariate(ARRIVALS_A_SECOND)
            await asyncio.sleep(due - loop.time())

    async def _ask(self, *, stream: bool) -> None:
        async with self.nexus.client() as client:
            body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
            client.send("POST", "/v1/chat/completions", body | {"stream": stream})
            self.replies.append((stream, await client.read_reply()))

    async def settled(self) -> None:
        """Wait until everything that has arrived so far has its reply."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def sent_again(self) -> int:
        return sum(int(reply.header("x-nexus-attempts") or 1) > 1 for _, reply in self.replies)


def cut_after_first_byte(stream: bool, reply: RawReply) -> bool:
    """A stream that broke when its client had bytes of it: it ends in one typed error event."""
    if not (stream and reply.status == 200 and reply.complete):
        return False
    errors = [json.loads(event)["error"] for event in reply.events if '"error"' in event]
    return [error["code"] for error in errors] == ["upstream_closed"] and "[DONE]" not in reply.events


def whole(stream: bool, reply: RawReply) -> bool:
    if reply.status != 200 or not reply.complete:
        return False
    if stream:
        return reply.events[-1] == "[DONE]" and "error" not in reply.body.decode()
    return bool(reply.json["choices"][0]["finish_reason"])


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
    load = Load(nexus)
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
    lost = [
        (stream, reply.status, reply.body)
        for stream, reply in load.replies
        if not whole(stream, reply) and not cut_after_first_byte(stream, reply)
    ]
    cut = sum(cut_after_first_byte(stream, reply) for stream, reply in load.replies)
    print(f"{len(load.replies)} requests, {load.sent_again()} sent again, {cut} streams cut")  # noqa: T201
    assert not lost
    assert load.sent_again() >= KILLS
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
