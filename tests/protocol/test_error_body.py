"""Nexus's own errors to bytes, and every backend's shape to one value."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.captured import REPLIES, body_of, is_stream, status_of

from nexus.errors import InvalidRequest, ModelNotFound, ServiceUnavailable
from nexus.protocol.error_body import ErrorText, error_event, fault_of, parse, parse_event, read_body, render
from nexus.protocol.sse import SseScanner
from nexus.protocol.surfaces import StreamEnd
from nexus.protocol.usage import usage_of


def test_render() -> None:
    assert json.loads(render(ModelNotFound("no such model", param="model"))) == {
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }
    with_context = json.loads(render(ServiceUnavailable("busy", context={"attempts": []}), "chat"))
    assert with_context["error"]["context"] == {"attempts": []}
    assert "type" not in with_context


@pytest.mark.parametrize("surface", ["messages", "count_tokens"])
def test_anthropic_clients_read_it_too(surface: str) -> None:
    body = json.loads(render(InvalidRequest("x"), surface))
    assert (body["type"], body["error"]["message"]) == ("error", "x")


def test_lone_surrogates_in_a_message_are_escaped() -> None:
    assert json.loads(render(InvalidRequest("bad \ud83d name")))["error"]["message"] == "bad \ud83d name"


@pytest.mark.parametrize("end", StreamEnd)
def test_an_error_event_is_one_that_the_scanner_knows(end: StreamEnd) -> None:
    event = error_event("upstream_closed", 'it "broke"\n\n', end)
    scanner = SseScanner(end)
    assert scanner.feed(event) == event
    assert (scanner.events, scanner.error_seen, scanner.done) == (1, True, False)
    assert scanner.error_first is not None
    assert parse_event(scanner.error_first).message == 'it "broke"\n\n'
    assert parse_event(scanner.error_first).code == "upstream_closed"
    assert event.startswith(b"event: error\n") is (end in (StreamEnd.MESSAGES, StreamEnd.RESPONSES))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"error":{"message":"m","type":"BadRequestError","param":"p","code":400}}',
            ErrorText("m", "BadRequestError", "400", "p"),
        ),
        (
            b'{"error":{"message":"m","type":"api_error","param":null,"code":null}}',
            ErrorText("m", "api_error"),
        ),
        (b'{"error":"Unauthorized"}', ErrorText("Unauthorized")),
        (b'{"error":"text","error_type":"validation"}', ErrorText("text", "validation")),
        (
            b'{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}',
            ErrorText("m", "BadRequestError", "400"),
        ),
        (b'{"detail":"Not Found"}', ErrorText("Not Found")),
        (
            b'{"detail":[{"loc":["body","model"],"msg":"Field required"},{"msg":"x"},5]}',
            ErrorText("body.model: Field required; x; 5"),
        ),
        (b'{"detail":{"error":{"message":"m","code":"c"}}}', ErrorText("m", "", "c")),
        (
            b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]',
            ErrorText("m", "INVALID_ARGUMENT", "400"),
        ),
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            ErrorText("Overloaded", "overloaded_error"),
        ),
        (b'"just text"', ErrorText("just text")),
        (b"404 page not found\n", ErrorText("404 page not found")),
        (b"<html><head><title>502 Bad Gateway</title></head></html>", ErrorText("502 Bad Gateway")),
        (b"<!doctype html><p>x", ErrorText("an HTML page")),
        (b'{"message":"m","code":true}', ErrorText("m")),
        (b'{"error":{"reason":{"a":1}}}', ErrorText('{"reason":{"a":1}}')),
        (b"\xff\xfe", ErrorText("\ufffd\ufffd")),
        (b"", None),
        (b" \r\n", None),
        (b"{}", None),
        (b"[]", None),
        (b"null", None),
        (b'""', None),
    ],
)
def test_shapes(body: bytes, error: ErrorText | None) -> None:
    assert parse(body) == error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "loc", "msg", "type", "code", "param", "object"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(st.binary(max_size=80) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_without_raising(body: bytes) -> None:
    error = parse(body)
    assert error is None or error.message
    assert parse_event(body).message
    fault_of(body)


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"error":' * 100_000, b'{"error":"' + b"x" * 10**6])
def test_bombs(bomb: bytes) -> None:
    error = parse(bomb)
    assert error is not None
    assert len(error.message) <= 10_000
    assert fault_of(bomb) is None


@pytest.mark.parametrize(
    "path", [p for p in REPLIES if status_of(p) >= 400], ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_recorded_errors(path: Path) -> None:
    body = body_of(path)
    error = parse(body)
    if not body.strip():
        assert error is None
        return
    assert error is not None
    assert not error.message.startswith(('{"', '["', "[{"))
    if body.startswith(b'{"error":{'):
        assert error.message == json.loads(body)["error"]["message"]
        assert fault_of(body) == error


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in REPLIES
        if status_of(p) == 200
        and not is_stream(p)
        and p.stem.startswith(("chat", "completions", "embed", "responses", "anthropic"))
    ],
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)
def test_recorded_successes_have_no_fault(path: Path) -> None:
    assert fault_of(body_of(path)) is None


@pytest.mark.parametrize(
    ("body", "faulty"),
    [
        (b"", True),
        (b"\n", True),
        (b'{"error":"Unexpected endpoint or method. (POST /x)"}', True),
        (b'{"object":"error","message":"x"}', True),
        (b'[{"error":{"message":"x"}}]', True),
        (b'{"error":null,"status":"completed"}', False),
        (b'{"choices":[{"message":{"content":"error"}}]}', False),
        (b'{"choices":[{"error":{"message":"x"}}]}', False),
        (b"an error occurred", False),
        (b'["error"]', False),
    ],
)
def test_faults_of_a_200(body: bytes, faulty: bool) -> None:
    assert (fault_of(body) is not None) is faulty


@pytest.mark.parametrize(
    "body",
    [
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}',
        b'{"usage":{"prompt_tokens":3}}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":-4}}',
        b'{"usage":{"prompt_tokens":true,"completion_tokens":4}}',
        b'{"usage":{"input_tokens":3,"output_tokens":4},"type":"message"}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"error":null}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"error":""}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"error":"no"}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"object":"error"}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"type":"error"}',
        b'{"usage":{"prompt_tokens":3,"completion_tokens":4},"object":null}',
        b"",
        b"error",
        b"[]",
    ],
)
def test_a_body_is_read_at_once_as_for_its_fault_and_its_usage(body: bytes) -> None:
    fault = fault_of(body)
    assert read_body(body) == (fault, None if fault is not None else usage_of(body))
