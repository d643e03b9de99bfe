"""The official OpenAI client through a gateway process to a real llama.cpp server."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import Omit, OpenAI, omit
from openai.types.chat import ChatCompletionStreamOptionsParam, ChatCompletionUserMessageParam
from tests.e2e.conftest import StartNexus
from tests.support.process import NexusProcess, backends_toml

from nexus.demo.llama import LlamaServer

pytestmark = pytest.mark.real

MODEL = "smollm2-135m"
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def client(gateway: NexusProcess, llama_server: LlamaServer) -> Iterator[OpenAI]:
    assert llama_server.running
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        yield client


def test_chat(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=4)
    reply = raw.parse()
    assert reply.choices[0].message.content
    assert reply.model == MODEL
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 4
    assert raw.headers["x-nexus-backend"] == "llama"
    assert raw.headers["server"] == "nexus"


@pytest.mark.parametrize("usage", [False, True])
def test_streaming_chat(client: OpenAI, usage: bool) -> None:
    options: ChatCompletionStreamOptionsParam | Omit = {"include_usage": True} if usage else omit
    with client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_tokens=4,
        stream=True,
        stream_options=options,
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    counted = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert [count.completion_tokens for count in counted] == ([4] if usage else [])


def test_completion(client: OpenAI) -> None:
    reply = client.completions.create(model=MODEL, prompt="One, two,", max_tokens=3)
    assert reply.choices[0].text
    assert reply.choices[0].finish_reason == "length"


def test_streaming_completion(client: OpenAI) -> None:
    with client.completions.create(model=MODEL, prompt="One, two,", max_tokens=3, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_embeddings_as_the_client_asks_by_default_and_as_floats(client: OpenAI) -> None:
    packed = client.embeddings.create(model=MODEL, input=["hello", "world"])
    floats = client.embeddings.create(model=MODEL, input=["hello", "world"], encoding_format="float")
    assert len(packed.data) == len(floats.data) == 2
    for one, other in zip(packed.data, floats.data, strict=True):
        assert len(one.embedding) == 576
        assert one.embedding == pytest.approx(other.embedding, abs=1e-4)


def test_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object) == (MODEL, "model")
    assert model.model_dump()["context_length"] == 2048


def test_responses(client: OpenAI) -> None:
    reply = client.responses.create(model=MODEL, input="Hi", max_output_tokens=4)
    assert reply.output_text
    with client.responses.create(model=MODEL, input="Hi", max_output_tokens=4, stream=True) as stream:
        events = [event.type for event in stream]
    assert events[0] == "response.created"
    assert "response.output_text.delta" in events
    assert events[-1] in {"response.completed", "response.incomplete"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_backend_is_the_clients_400(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            stream=stream,
            extra_body={"temperature": "hot"},
        )
    assert "temperature" in caught.value.message
    assert caught.value.type == "invalid_request_error"


def test_a_request_that_nexus_cannot_read_is_a_400_that_names_the_field(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages="Hi")  # type: ignore[arg-type]  # wrong on purpose
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", "messages")


def test_a_name_that_nobody_has_is_a_404_with_the_nearest_one(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="smollm2-135n", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert f"'{MODEL}'" in caught.value.message
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="nobody", input="x")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("org/nobody")
    assert caught.value.code == "model_not_found"


def test_a_stream_that_the_backend_breaks_is_an_error_and_no_short_answer(
    start_nexus: StartNexus, llama_pair: tuple[LlamaServer, LlamaServer]
) -> None:
    server = llama_pair[1]
    nexus = start_nexus(toml=backends_toml(("llama", server.url)))
    with (
        OpenAI(base_url=f"{nexus.url}/v1", api_key="none", max_retries=0, timeout=30) as client,
        client.chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=64, stream=True, extra_body={"ignore_eos": True}
        ) as stream,
    ):
        assert next(stream).choices
        server.kill()
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert caught.value.code == "upstream_closed"


def test_a_wrong_base_url_says_which_one_is_right(gateway: NexusProcess) -> None:
    with (
        OpenAI(base_url=f"{gateway.url}/v1/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match="base URL") as caught,
    ):
        client.models.list()
    assert f"{gateway.url}/v1" in caught.value.message
