"""A body is read once, refused when it is ambiguous, and edited without moving another byte."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nexus.errors import InvalidRequest, UnsupportedMediaType
from nexus.protocol.envelope import Envelope, Fix, read
from nexus.protocol.json_spans import fields_of, locate
from nexus.protocol.surfaces import SURFACES

CHAT = SURFACES["chat"]
COMPLETIONS = SURFACES["completions"]
CAPTURES = Path(__file__).parents[1] / "captures"

keys = st.sampled_from(["model", "messages", "a", 'x"model', "stop", "role", "\\", "developer"]) | st.text(
    max_size=6
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["model", '"model": "m"', "developer", '\\"model"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(
    keys.filter(lambda key: key.lower() not in ("model", "max_tokens")), values, max_size=5
)


PLAIN = b'{"model":"m","messages":[]}'


def refused(body: bytes, default_model: str | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(body, CHAT, default_model=default_model)
    return caught.value


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "empty"),
        (b" \n", None, "empty"),
        (b"{", None, "not valid JSON"),
        (b'{"model":"m","messages":[]} x', None, "not valid JSON"),
        (b'{"model":"m","messages":[],"t":NaN}', None, "not valid JSON"),
        (b'{"model":"m","messages":[],"t":-Infinity}', None, "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m","messages":[]}', None, "byte-order mark"),
        ('{"model":"m"}'.encode("utf-16"), None, "UTF-16"),
        (b"[]", None, "not an object"),
        (b'"model"', None, "not an object"),
        (b'{"messages":[]}', "model", 'no "model"'),
        (b'{"model":null,"messages":[]}', "model", 'no "model"'),
        (b'{"model":5,"messages":[]}', "model", "string"),
        (b'{"model":"","messages":[]}', "model", "empty"),
        (b'{"model":"m"}', "messages", 'no "messages"'),
        (b'{"model":"m","messages":null}', "messages", "array"),
        (b'{"model":"m","messages":"hi"}', "messages", "array"),
        (b'{"model":"a","messages":[],"model":"b"}', "model", "more than once"),
        (b'{"model":"a","messages":[],"model":null}', "model", "more than once"),
        (b'{"model":"a","messages":[],"\\u006dodel":"b"}', "model", "more than once"),
        (b'{"mo\\u0064el":"b","messages":[],"model":"a"}', "model", "more than once"),
        (b'{"\\u006Dodel":"b","messages":[]}', "model", "escapes"),
        (b'{"\\u006d\\u006F\\u0064\\u0065\\u006c":"b","messages":[{"model":1}]}', "model", "escapes"),
        (b'{"model":"a","Model":"b","messages":[]}', "model", "another spelling"),
        (b'{"MODEL":"b","messages":[]}', "model", "another spelling"),
        (b'{"model":"\xff","messages":[]}', None, "UTF-8 at byte 10"),
        (b'{"model":"m","messages":["\xed\xa0\x80"]}', None, "UTF-8"),
        (b'{"model":"m","messages":[],"\xc0\xaf":1}', None, "UTF-8"),
        (b'{"model":"m","messages":' + b"[" * 100_000, None, "nested too deep"),
        (b'{"model":"m","messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}", None, "nested too deep"),
        (b'{"model":"m","messages":' + b'[{"a":' * 50_000 + b"}]" * 50_000 + b"}", None, "nested too deep"),
        (b'{"model":"m","messages":["\\ud8zz"]}', None, "not valid JSON"),
    ],
)
def test_what_is_refused_says_why(body: bytes, param: str | None, words: str) -> None:
    error = refused(body)
    assert (error.status, error.type, error.param) == (400, "invalid_request_error", param)
    assert words in error.message


@pytest.mark.parametrize("coding", [b"gzip", b"zstd", b"identity, gzip", b"x"])
def test_a_content_coding_is_415(coding: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        read(PLAIN, CHAT, content_encoding=coding)


@pytest.mark.parametrize("coding", [None, b"", b" Identity "])
def test_identity_is_no_coding(coding: bytes | None) -> None:
    assert read(PLAIN, CHAT, content_encoding=coding).model == "m"


@pytest.mark.parametrize("name", ["completions", "embeddings", "responses"])
def test_messages_are_asked_for_only_where_they_belong(name: str) -> None:
    assert read(b'{"model":"m"}', SURFACES[name]).model == "m"


@pytest.mark.parametrize("name", ["chat", "messages", "count_tokens"])
def test_messages_are_asked_for_where_they_belong(name: str) -> None:
    with pytest.raises(InvalidRequest):
        read(b'{"model":"m"}', SURFACES[name])


@pytest.mark.parametrize(
    ("raw", "stream"),
    [(b"true", True), (b"false", False), (b'"true"', False), (b"1", False), (b"null", False)],
)
def test_stream_is_json_true_alone(raw: bytes, stream: bool) -> None:
    assert read(b'{"model":"m","messages":[],"stream":' + raw + b"}", CHAT).stream is stream


def test_odd_values_are_the_backends_matter() -> None:
    body = b'{"model":"m","messages":[{"content":"\\ud83d"}],"seed":1e400,"n":99999999999999999999,"stop":5}'
    envelope = read(body, CHAT)
    assert envelope.edited(model="n", fixes=frozenset(Fix)) == body.replace(b'"m"', b'"n"', 1)


def test_lone_surrogates_pass_and_pairs_are_pairs() -> None:
    body = b'{"a":"\\ud83d\\ud83d\\udc00\\udc00 \\\\ud83d \\uDFFF","model":"m\\u00e9","messages":[]}'
    envelope = read(body, CHAT)
    assert envelope.model == "mé"
    assert len(envelope.text) == len(body)
    assert envelope.edited() is body
    assert envelope.edited(model="x") == body.replace(b'"m\\u00e9"', b'"x"')


def test_an_escaped_backslash_before_a_surrogate_is_text() -> None:
    body = b'{"a":"\\ud83d","model":"m\\\\ud83d","messages":[]}'
    assert read(body, CHAT).model == "m\\ud83d"


def test_endless_lone_surrogates_are_refused_and_not_rewritten_for_ever() -> None:
    assert "not valid JSON" in refused(b'{"model":"m","messages":["' + b"\\ud83d" * 20_000 + b'"]}').message


def test_the_default_model_serves_requests_without_one() -> None:
    for body, there in (
        (b'{"messages":[]}', b'{"model":"d","messages":[]}'),
        (b' { "model" : null , "messages":[]}', b' { "model" : "d" , "messages":[]}'),
    ):
        envelope = read(body, CHAT, default_model="d")
        assert (envelope.model, envelope.defaulted) == ("d", True)
        assert envelope.edited() is body
        assert envelope.edited(model="d") == there
    assert read(b"{ }", COMPLETIONS, default_model="d").edited(model="d") == b'{"model":"d" }'
    assert refused(b'{"model":5,"messages":[]}', default_model="d").param == "model"


def test_the_same_model_changes_nothing() -> None:
    body = b'{"model":"caf\\u00e9","messages":[]}'
    assert read(body, CHAT).edited(model="café", fixes=frozenset(Fix)) is body


def test_a_model_inside_other_values_is_not_the_model() -> None:
    body = (
        b'{"tools":[{"model":"m"},{"x\\"model":"m","model" :"m"}],"messages":[{"content":"say \\"model"},'
        b'{"content":"\\u006dodel"}], "model"\n:\t"m" ,"metadata":{"model":"m"}}'
    )
    assert read(body, CHAT).edited(model='n"\\') == body.replace(b':\t"m" ', b':\t"n\\"\\\\" ')


@pytest.mark.parametrize(
    ("fix", "before", "after"),
    [
        (Fix.MAX_TOKENS, b'"max_completion_tokens" : 1e1', b'"max_tokens" : 1e1'),
        (Fix.MAX_TOKENS, b'"max_completion_tokens":5,"max_tokens":6', None),
        (Fix.MAX_TOKENS, b'"x":{"max_completion_tokens":5}', None),
        (Fix.STOP_ARRAY, b'"stop": "a]\\"b" ', b'"stop": ["a]\\"b"] '),
        (Fix.STOP_ARRAY, b'"stop":["a"]', None),
        (Fix.STOP_ARRAY, b'"stop":null', None),
        (Fix.STOP_ARRAY, b'"x":{"stop":"a"}', None),
    ],
)
def test_fixes_of_members(fix: Fix, before: bytes, after: bytes | None) -> None:
    body = b'{"model":"m", "messages":[],' + before + b', "z":1.50}'
    envelope = read(body, CHAT)
    assert envelope.edited(fixes=frozenset({fix})) == body.replace(before, after or before)
    if after is None:
        assert envelope.edited(fixes=frozenset(Fix)) is body


def test_the_developer_becomes_the_system_and_nothing_else_moves() -> None:
    body = (
        b'{"messages" : [ {"role":"developer","content":"\\u00e9 \\"developer\\""} ,\n{"content":"developer",'
        b'"role" : "user"},{"x":{"role":"developer"},"role": "developer","n":1.0}, 5, "developer",'
        b'{"role":["developer"]} ],"model":"m","role":"developer"}'
    )
    expected = body.replace(b'{"role":"developer","content"', b'{"role":"system","content"').replace(
        b'"role": "developer","n"', b'"role": "system","n"'
    )
    envelope = read(body, CHAT)
    assert envelope.edited(fixes=frozenset({Fix.SYSTEM_ROLE})) == expected
    assert envelope.edited(fixes=frozenset({Fix.STOP_ARRAY, Fix.MAX_TOKENS})) is body


def test_all_edits_at_once() -> None:
    body = b'{"stop":"s","max_completion_tokens":7,"messages":[{"role":"developer"}],"model":"m"}'
    assert read(body, CHAT).edited(model="n", fixes=frozenset(Fix)) == (
        b'{"stop":["s"],"max_tokens":7,"messages":[{"role":"system"}],"model":"n"}'
    )


def built(members: dict[str, Any], model: str, spaced: bool, ascii_only: bool, place: int) -> bytes:
    pairs = list(members.items())
    pairs.insert(place % (len(pairs) + 1), ("model", model))
    separators = (" ,\t", " :\n") if spaced else (",", ":")
    return json.dumps(dict(pairs), separators=separators, ensure_ascii=ascii_only).encode()


@given(objects, st.text(min_size=1), st.text(min_size=1), st.booleans(), st.booleans(), st.integers(0, 9))
def test_editing_the_model_keeps_every_other_byte(
    members: dict[str, Any], model: str, other: str, spaced: bool, ascii_only: bool, place: int
) -> None:
    body = built(members, model, spaced, ascii_only, place)
    envelope = read(body, COMPLETIONS)
    assert envelope.model == model
    assert envelope.edited() is body
    assume(model != other)
    edited = envelope.edited(model=other)
    assert json.loads(edited) == {**json.loads(body), "model": other}
    old, new = fields_of(body), fields_of(edited)
    span = locate(body, "model", old["model"])
    assert span is not None
    assert edited == body[: span.start] + msgspec.json.encode(other) + body[span.end :]
    assert {k: bytes(v) for k, v in old.items() if k != "model"} == {
        k: bytes(v) for k, v in new.items() if k != "model"
    }


@given(objects, st.lists(values, max_size=3), st.booleans())
def test_fixes_change_only_what_they_name(members: dict[str, Any], extra: list[Any], spaced: bool) -> None:
    messages = [*extra, {"role": "developer", "content": extra}, {"role": "user", "developer": "developer"}]
    members = {**members, "messages": messages, "stop": "x", "max_completion_tokens": 3}
    body = built(members, "m", spaced, ascii_only=True, place=1)
    fixed = json.loads(read(body, CHAT).edited(fixes=frozenset(Fix)))
    expected = json.loads(body)
    expected["stop"] = ["x"]
    expected["max_tokens"] = expected.pop("max_completion_tokens")
    for message in expected["messages"]:
        if isinstance(message, dict) and message.get("role") == "developer":
            message["role"] = "system"
    assert fixed == expected


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for text in (
        body,
        b'{"model":"m","messages":[' + body + b"]}",
        b'{"model":"m","messages":[],' + body + b"}",
    ):
        try:
            envelope = read(text, CHAT)
        except InvalidRequest:
            continue
        assert isinstance(envelope, Envelope)
        envelope.edited(model="other", fixes=frozenset(Fix))


@pytest.mark.parametrize(
    "path", sorted(CAPTURES.glob("*/chat*.req")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_recorded_requests(path: Path) -> None:
    body = path.read_bytes().partition(b"\r\n\r\n")[2]
    envelope = read(body, CHAT)
    assert envelope.model == json.loads(body)["model"]
    assert envelope.edited(model=envelope.model) is body
    assert json.loads(envelope.edited(model="x")) == {**json.loads(body), "model": "x"}
