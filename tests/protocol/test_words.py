"""The text inside bodies, whatever they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.protocol.words import answered, asked, streamed

NAMES = ["messages", "content", "role", "text", "type", "choices", "delta", "input", "message"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
)
PICTURE = {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url"}]}
HI = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [HI, {"role": "tool", "content": None}]}, "user: hi\ntool: "),
        ({"messages": [PICTURE]}, "user: look [image_url]"),
        ({"prompt": ["a", "b"]}, "a b"),
        ({"system": "be kind", "messages": [HI]}, "be kind\nuser: hi"),
        ({"instructions": "i", "input": [HI]}, "i\nuser: hi"),
        ({"model": "m"}, '{"model": "m"}'),
    ],
)
def test_what_is_asked(body: object, expected: str) -> None:
    assert asked(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"choices": [{"message": {"content": "a"}}, {"text": "b"}]}, "a\nb"),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]}, "a"),
        ({"content": [{"type": "text", "text": "a"}]}, "a"),
        ({"data": []}, '{"data": []}'),
    ],
)
def test_what_is_answered(body: object, expected: str) -> None:
    assert answered(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": [{"text": "a"}]},
        {"type": "response.output_text.delta", "delta": "a"},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}},
    ],
)
def test_what_events_add(event: object) -> None:
    data = b"event: x\r\ndata: %b\r\n\r\n: comment\n\ndata: [DONE]\n\n" % json.dumps(event).encode()
    assert streamed(data) == "a"


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_body_has_some_text(body: bytes) -> None:
    assert isinstance(asked(body) + answered(body) + streamed(b"data: " + body), str)
