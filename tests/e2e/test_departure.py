"""A client that leaves takes its upstream request with it, however far the real server has come."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import pytest
from tests.e2e.conftest import StartNexus
from tests.support.client import RawReply
from tests.support.process import NexusProcess, backends_toml, until
from tests.support.recorder import Recorder, recording

from nexus.demo.llama import LlamaServer

pytestmark = pytest.mark.real

CHAT = "/v1/chat/completions"
# More than the server generates in the time that it takes to notice, so that a free slot means "given up".
# It notices when it writes: only a streamed request is given up before its end.
MANY_TOKENS = 1000
FEW_TOKENS = 4
# Far above what it takes on a quiet machine (a few milliseconds), far below prefill or generation.
AT_ONCE_SECONDS = 1.0


@dataclass
class Asked:
    """One request under way, with everything that a departure should end."""

    nexus: NexusProcess
    recorder: Recorder
    server: LlamaServer

    def predicted(self) -> int:
        """How many tokens the server has generated in all."""
        with urlopen(f"{self.server.url}/metrics", timeout=30) as reply:  # noqa: S310  # our own server
            lines = reply.read().decode().splitlines()
        return int(
            next(line for line in lines if line.startswith("llamacpp:tokens_predicted_total")).split()[1]
        )

    def free(self) -> bool:
        with urlopen(f"{self.server.url}/slots", timeout=30) as reply:  # noqa: S310  # our own server
            return not any(slot["is_processing"] for slot in json.load(reply))

    async def closed(self) -> list[RawReply]:
        """Wait until Nexus has closed the upstream, and return what the server had answered."""
        number = self.recorder.connection(CHAT)
        left = time.monotonic()
        async with asyncio.timeout(30):
            await self.recorder.ended[number].wait()
        seconds = time.monotonic() - left
        print(f"upstream closed after {seconds * 1000:.1f} ms")  # noqa: T201
        assert seconds < AT_ONCE_SECONDS
        return self.recorder.bodies(CHAT)

    async def outcome(self) -> dict[str, Any]:
        await until(lambda: bool(self.nexus.log_lines(event="request")))
        (line,) = self.nexus.log_lines(event="request")
        return line


def chat(prompt: str, *, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    fields = {"max_tokens": MANY_TOKENS if stream else FEW_TOKENS, "ignore_eos": True, "stream": stream}
    return {"model": "smollm2-135m", "messages": messages, **fields}


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_during_prefill_closes_the_upstream_at_once(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer], stream: bool
) -> None:
    server = llama_pair[0]
    async with recording(*server.address) as recorder:
        nexus = await asyncio.to_thread(start_nexus, toml=backends_toml(("llama", recorder.url)))
        asked = Asked(nexus, recorder, server)
        before = asked.predicted()
        prompt = " ".join(f"word {number} {stream}" for number in range(20))
        async with nexus.client() as client:
            client.send("POST", CHAT, chat(prompt, stream=stream))
            await until(lambda: bool(recorder.asked(CHAT)))
            client.leave()
            assert not any(reply.body for reply in await asked.closed())
        await until(asked.free)
        assert asked.predicted() - before < MANY_TOKENS / 3
        outcome = await asked.outcome()
        assert (outcome["error"], outcome["status"], outcome["client_closed"]) == ("client_closed", 499, True)
        row = nexus.backend("llama")
        assert (row["in_flight"], row["failures"], row["status"]) == (0, {}, "healthy")


async def test_leaving_a_running_stream_closes_the_upstream_at_once(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer]
) -> None:
    server = llama_pair[0]
    async with recording(*server.address) as recorder:
        nexus = await asyncio.to_thread(start_nexus, toml=backends_toml(("llama", recorder.url)))
        asked = Asked(nexus, recorder, server)
        before = asked.predicted()
        async with nexus.client() as client:
            client.send("POST", CHAT, chat("Hi", stream=True))
            await client.read_reply(until=1)
            client.leave()
            (begun,) = await asked.closed()
            assert not begun.complete
        await until(asked.free)
        assert asked.predicted() - before < MANY_TOKENS / 3
        outcome = await asked.outcome()
        assert (outcome["error"], outcome["status"], outcome["client_closed"]) == ("client_closed", 200, True)
        row = nexus.backend("llama")
        assert (row["in_flight"], row["failures"], row["status"]) == (0, {}, "healthy")
