"""What a real server sends is what the client gets, byte for byte, and so are requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.e2e.conftest import StartNexus
from tests.support.client import RawReply
from tests.support.process import backends_toml, until
from tests.support.recorder import recording

from nexus.demo.llama import LlamaServer

pytestmark = pytest.mark.real

MODEL = "smollm2-135m"
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Say \u201cgr\u00fc\u00df dich\u201d \U0001f680"}]

# Odd spacing, escapes and fields that Nexus does not know must arrive as they are written here.
PLAIN: dict[str, tuple[str, str]] = {
    "chat": (CHAT, '{"max_tokens":5, "messages":[{"role":"user","content":"gr\\u00fc\\u00df"}], "top_k": 1}'),
    "chat with choices": (CHAT, json.dumps({"messages": HELLO, "max_tokens": 3, "n": 2, "logprobs": True})),
    "completion": ("/v1/completions", '{"prompt":"One,  two,","max_tokens":4,"temperature":0.0}'),
    "responses": ("/v1/responses", '{"input":"Hi","max_output_tokens":4}'),
    "messages": ("/v1/messages", json.dumps({"messages": HELLO, "max_tokens": 4})),
}
STREAMED = {
    **PLAIN,
    "chat with usage": (
        CHAT,
        json.dumps({"messages": HELLO, "max_tokens": 5, "stream_options": {"include_usage": True}}),
    ),
}
SINGLE = {
    **PLAIN,
    "embeddings": ("/v1/embeddings", '{"input":["a","b"],"encoding_format":"base64"}'),
    "embeddings as floats": ("/v1/embeddings", '{"input":"a"}'),
    "tokens": ("/v1/messages/count_tokens", json.dumps({"messages": HELLO})),
    "refusal": (CHAT, json.dumps({"messages": HELLO, "temperature": "hot"})),
}
CASES = [(name, *case, False) for name, case in SINGLE.items()] + [
    (name, *case, True) for name, case in STREAMED.items()
]


def assert_faithful(sent: RawReply, received: RawReply) -> None:
    """Hold what the client received against what the backend sent: framing, events and bytes."""
    assert sent.complete
    assert received.complete
    assert received.events == sent.events
    assert received.body == sent.body


def reserialised(reply: RawReply) -> RawReply:
    """The mutant: a relay that reads each JSON text and writes it anew."""
    lines = reply.body.decode().split("\n")
    prefix = "data: " if reply.events else ""
    written = [
        prefix + json.dumps(json.loads(line.removeprefix(prefix))) if line.startswith(prefix + "{") else line
        for line in lines
    ]
    return RawReply(reply.status, reply.headers, "\n".join(written).encode(), [], complete=True)


def with_event_dropped(reply: RawReply) -> RawReply:
    """The mutant: a relay that loses the first event, or the last byte."""
    rest = reply.body.split(b"\n\n", 1)[1] if reply.events else reply.body[:-1]
    return RawReply(reply.status, reply.headers, rest, [], complete=True)


MUTANTS: list[Callable[[RawReply], RawReply]] = [reserialised, with_event_dropped]


def body_of(text: str, *, stream: bool) -> bytes:
    head = f'{{"model":"{MODEL}",' + ('"stream":true,' if stream else "")
    return (head + text[1:]).encode()


async def test_every_body_comes_back_as_it_was_sent_and_a_mutant_is_caught(
    start_nexus: StartNexus, llama_server: LlamaServer
) -> None:
    async with recording(*llama_server.address) as recorder:
        nexus = await asyncio.to_thread(start_nexus, toml=backends_toml(("llama", recorder.url)))
        for name, path, text, stream in CASES:
            body = body_of(text, stream=stream)
            already = len(recorder.bodies(path))
            async with nexus.client() as client:
                client.send("POST", path, body, {"Content-Type": "application/json"})
                received = await client.read_reply()
            (sent,) = recorder.bodies(path)[already:]
            case = (name, stream, received.body)
            assert received.status == (400 if name == "refusal" else 200), case
            assert bool(received.events) == stream, case
            assert_faithful(sent, received)
            assert recorder.asked(path)[-1] == body
            for mutant in MUTANTS:
                with pytest.raises(AssertionError):
                    assert_faithful(sent, mutant(received))
    await until(lambda: len(nexus.log_lines(event="request")) == len(CASES))


async def test_a_counted_message_and_a_native_error_keep_their_shape(
    start_nexus: StartNexus, llama_server: LlamaServer
) -> None:
    nexus = await asyncio.to_thread(start_nexus, toml=backends_toml(("llama", llama_server.url)))

    async def ask(path: str, **fields: Any) -> RawReply:  # noqa: ANN401 - any field
        async with nexus.client() as client:
            client.send("POST", path, {"model": MODEL, "messages": HELLO, **fields})
            return await client.read_reply()

    assert (await ask("/v1/messages/count_tokens")).json["input_tokens"] > 20
    message = await ask("/v1/messages", max_tokens=3)
    assert (message.json["type"], message.json["usage"]["output_tokens"]) == ("message", 3)
    stream = await ask("/v1/messages", max_tokens=3, stream=True)
    assert [json.loads(event)["type"] for event in stream.events][-1] == "message_stop"
    unknown = await ask("/v1/messages", max_tokens=3, model="nobody")
    assert (unknown.status, unknown.json["type"], unknown.error["code"]) == (404, "error", "model_not_found")
