"""Signals: running replies finish, new requests are turned away, what is left ends honestly."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.e2e.conftest import StartNexus
from tests.support.client import RawClient, RawReply
from tests.support.process import NexusProcess, backends_toml, until, wait_until

from nexus.demo.llama import LlamaServer

pytestmark = pytest.mark.real

CHAT = "/v1/chat/completions"
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


def chat(*, stream: bool = False) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hi"}]
    fields = {"max_tokens": 30, "ignore_eos": True, "stream": stream}
    return {"model": "smollm2-135m", "messages": messages, **fields}


@asynccontextmanager
async def held_stream(nexus: NexusProcess, server: LlamaServer) -> AsyncIterator[tuple[RawClient, RawReply]]:
    """A stream whose first bytes have come and whose server stands still until it is thawed."""
    async with nexus.client() as client:
        client.send("POST", CHAT, chat(stream=True))
        reply = await client.read_reply(until=1)
        await asyncio.to_thread(server.freeze)
        yield client, reply


def turned_away(nexus: NexusProcess) -> bool:
    return nexus.get("/health/ready")[0] == 503


async def start(start_nexus: StartNexus, server: LlamaServer, drain_seconds: float) -> NexusProcess:
    toml = f"[server]\ndrain_seconds = {drain_seconds}\n" + backends_toml(("llama", server.url))
    return await asyncio.to_thread(start_nexus, toml=toml)


@SIGNALS
async def test_a_running_stream_finishes_while_new_requests_are_turned_away(
    start_nexus: StartNexus, llama_server: LlamaServer, number: signal.Signals
) -> None:
    nexus = await start(start_nexus, llama_server, 30)
    async with held_stream(nexus, llama_server) as (client, stream):
        nexus.send(number)
        await until(lambda: turned_away(nexus))
        async with nexus.client() as late:
            late.send("POST", CHAT, chat())
            refused = await late.read_reply()
        assert (refused.status, refused.error["code"]) == (503, "service_unavailable")
        assert refused.header("retry-after") == "1"
        assert refused.header("connection") == "close"
        assert nexus.get("/health/live")[0] == 200
        await asyncio.to_thread(llama_server.thaw)
        await client.read_reply()
        assert stream.complete
        assert stream.events[-1] == "[DONE]"
        assert "error" not in stream.body.decode()
    assert await asyncio.to_thread(nexus.wait) == 0
    assert nexus.said[-1].startswith("Stopping: 1 running request")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", nexus.port))


async def test_what_outlives_the_deadline_ends_with_a_typed_error(
    start_nexus: StartNexus, llama_server: LlamaServer
) -> None:
    nexus = await start(start_nexus, llama_server, 0.3)
    async with held_stream(nexus, llama_server) as (client, stream), nexus.client() as waiting:
        waiting.send("POST", CHAT, chat())
        await until(lambda: nexus.backend("llama")["in_flight"] == 2)
        nexus.send(signal.SIGTERM)
        await client.read_reply()
        unanswered = await waiting.read_reply()
    assert stream.complete
    errors = [json.loads(event)["error"]["code"] for event in stream.events if '"error"' in event]
    assert errors == ["shutting_down"]
    assert "[DONE]" not in stream.events
    assert (unanswered.status, unanswered.error["code"]) == (503, "shutting_down")
    assert await asyncio.to_thread(nexus.wait) == 0
    assert "Cut 2 requests that were still running." in nexus.said
    assert "Traceback" not in nexus.errors


@SIGNALS
async def test_a_second_signal_ends_at_once(
    start_nexus: StartNexus, llama_server: LlamaServer, number: signal.Signals
) -> None:
    nexus = await start(start_nexus, llama_server, 600)
    async with held_stream(nexus, llama_server) as (client, stream):
        nexus.send(signal.SIGTERM)
        await until(lambda: turned_away(nexus))
        nexus.send(number)
        assert await asyncio.to_thread(nexus.wait, 15) == 0
        await client.read_reply()
        assert "[DONE]" not in stream.events
    assert "Traceback" not in nexus.errors


@SIGNALS
def test_an_idle_gateway_ends_fast(
    start_nexus: StartNexus, llama_server: LlamaServer, number: signal.Signals
) -> None:
    nexus = start_nexus(toml=backends_toml(("llama", llama_server.url)))
    wait_until(lambda: nexus.healthy("llama"))
    with socket.create_connection(("127.0.0.1", nexus.port)):  # an idle connection holds nothing up
        before = time.monotonic()
        nexus.send(number)
        assert nexus.wait() == 0
        seconds = time.monotonic() - before
    print(f"ended after {seconds * 1000:.0f} ms")  # noqa: T201
    assert seconds < 5
    assert "Traceback" not in nexus.errors


def test_a_signal_during_the_first_round_ends_too(start_nexus: StartNexus, llama_server: LlamaServer) -> None:
    llama_server.freeze()
    nexus = start_nexus(toml=backends_toml(("llama", llama_server.url)), ready=False)
    nexus.send(signal.SIGTERM)
    assert nexus.wait(15) == 0
    assert "Traceback" not in nexus.errors
