"""The one field that Nexus may add to a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.protocol import envelope
from nexus.protocol.stream_usage import asking_usage
from nexus.protocol.surfaces import SURFACES

CHAT = SURFACES["chat"]
ADDED = b'"stream_options":{"include_usage":true},'


def asked(body: bytes, surface: str = "chat") -> bytes:
    read = envelope.read(body, SURFACES[surface], default_model="default")
    return asking_usage(read, SURFACES[surface]).edited(model="native")


@pytest.mark.parametrize("surface", ["chat", "completions"])
def test_the_field_is_added_and_every_other_byte_stays(surface: str) -> None:
    body = b' {\n "model": "native",  "stream":true, "messages":[], "prompt": "\\u00e9 1.0" , "x": 1e2}'
    assert asked(body, surface) == body.replace(b"{", b"{" + ADDED, 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"native","messages":[]}',
        b'{"model":"native","messages":[],"stream":false}',
        b'{"model":"native","messages":[],"stream":true,"stream_options":null}',
        b'{"model":"native","messages":[],"stream":true,"stream_options":{"include_usage":false}}',
        b'{"model":"native","messages":[],"stream":true,"stream\\u005foptions":{}}',
    ],
)
def test_what_does_not_stream_or_says_itself_what_it_wants_stays(body: bytes) -> None:
    assert asked(body) == body


@pytest.mark.parametrize("surface", [name for name in SURFACES if name not in ("chat", "completions")])
def test_other_surfaces_do_not_know_the_field(surface: str) -> None:
    body = b'{"model":"native","messages":[],"input":"a","stream":true}'
    assert asked(body, surface) == body


def test_a_field_of_that_name_inside_another_one_is_not_the_field() -> None:
    body = b'{"model":"native","messages":[{"stream_options":{}}],"stream":true}'
    assert asked(body).startswith(b"{" + ADDED)


@given(
    st.none() | st.just("native") | st.just("other"),
    st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.text(), st.lists, max_leaves=5)),
    st.booleans(),
)
def test_together_with_other_edits(model: str | None, more: dict[str, Any], spaced: bool) -> None:
    members = {**more, "messages": [], "stream": True}
    for name in [name for name in members if name.lower() == "model" or name == "stream_options"]:
        del members[name]
    if model is not None:
        members["model"] = model
    body = json.dumps(members, separators=(", ", ": ") if spaced else (",", ":")).encode()
    wanted = {**members, "model": "native", "stream_options": {"include_usage": True}}
    assert json.loads(asked(body)) == wanted
