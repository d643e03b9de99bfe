"""The scanner finds the same things however a stream is cut, and lets whole events go."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.captured import STREAMS, body_of

from nexus.domain import Usage
from nexus.protocol.sse import HELD_BYTES, JUDGED_BYTES, SseScanner
from nexus.protocol.surfaces import StreamEnd

BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)\Z")
WHOLE_EVENT = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
FINDINGS = ("finished", "done", "error_first", "error_seen", "events", "deltas", "usage", "commented_only")


FINAL_WITH_USAGE = (
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
)
RESPONSES_USAGE = (
    b'event: response.completed\ndata: {"type":"response.completed","response":{"error":null,'
    b'"usage":{"input_tokens":8,"output_tokens":9,"input_tokens_details":{"cached_tokens":4}}}}\n\n'
)
MESSAGES_USAGE = (
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1,'
    b'"cache_read_input_tokens":30,"cache_creation_input_tokens":4}}}\n\n'
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}\n\n'
)


def chunk(**members: object) -> bytes:
    return json.dumps({"id": "x", "object": "chat.completion.chunk", **members}).encode()


def choice(content: str | None, finish: str | None = None) -> bytes:
    return chunk(choices=[{"index": 0, "delta": {"content": content}, "finish_reason": finish}])


def findings(scanner: SseScanner) -> dict[str, Any]:
    return {name: getattr(scanner, name) for name in FINDINGS}


def scan(end: StreamEnd, *pieces: bytes) -> SseScanner:
    scanner = SseScanner(end)
    out = b""
    for piece in pieces:
        ready = scanner.feed(piece)
        assert scanner.split or not ready or BOUNDARY.search(ready) or not out + ready
        out += ready
        assert scanner.split or not WHOLE_EVENT.search(scanner._held)
    assert out + scanner.flush() == b"".join(pieces)
    return scanner


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(marks)]


lines = st.sampled_from(
    [
        b": keep-alive",
        b":",
        b"data: [DONE]",
        b"data:[DONE]",
        b"data: ",
        b"data",
        b"event: error",
        b"event: message_stop",
        b"event",
        b"id: 7",
        b"retry: 10",
        b"\xef\xbb\xbfdata: x",
        b"data: " + choice("hi"),
        b"data:" + choice('say "finish_reason":"stop" [DONE]\n\ndata: [DONE]'),
        b"data: " + choice(None, "stop"),
        b"data: " + chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4}),
        b'data: {"error":{"message":"x"}}',
        b'data: {"choices":[],',
        b'data: "usage":{"prompt_tokens":9}}',
        b'data: [{"error":{"code":400}}]',
        b'data: {"object":"error","message":"x"}',
        b'data: {"type":"error","error":{"type":"overloaded_error"}}',
        b'data: {"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2}}}',
        b'data: {"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":2}}}',
        b'data: {"type":"message_delta","usage":{"output_tokens":6}}',
        b'data: {"type":"message_stop"}',
        b"data: {" + b"[" * 60,
        b"nonsense",
        b"",
        b"",
    ]
)
ends = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])
streams = st.builds(
    lambda parts, newline, mixed: b"".join(line + (own if mixed else newline) for line, own in parts),
    st.lists(st.tuples(lines, ends), max_size=14),
    ends,
    st.booleans(),
)


@given(streams, st.lists(st.integers(0, 5000), max_size=8), st.sampled_from(StreamEnd))
def test_findings_do_not_depend_on_the_split(stream: bytes, places: list[int], end: StreamEnd) -> None:
    assert findings(scan(end, *cut(stream, places))) == findings(scan(end, stream))


@given(streams, st.sampled_from(StreamEnd))
def test_byte_by_byte(stream: bytes, end: StreamEnd) -> None:
    assert findings(scan(end, *(stream[i : i + 1] for i in range(len(stream))))) == findings(
        scan(end, stream)
    )


def specified(stream: bytes) -> list[bytes]:
    """Return the data of each event as the HTML standard's algorithm gives it."""
    events, data = [], None
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf")):
        field, _, value = line.partition(b":")
        if not line:
            if data is not None:
                events.append(data)
            data = None
        elif field == b"data":
            value = value.removeprefix(b" ")
            data = value if data is None else data + b"\n" + value
    return events


@given(streams, st.lists(st.integers(0, 5000), max_size=4))
def test_events_are_those_of_the_standard(stream: bytes, places: list[int]) -> None:
    stream += b"\n\n"
    events = specified(stream)
    scanner = scan(StreamEnd.CHAT, *cut(stream, places))
    assert scanner.events == len(events)
    assert scanner.done == any(event.strip() == b"[DONE]" for event in events)


@given(st.text(max_size=60), st.text(max_size=10), st.booleans())
def test_only_a_choices_own_finish_reason_finishes(text: str, key: str, ascii_only: bool) -> None:
    for content in (text, text + '"finish_reason":"stop"', '","finish_reason":"stop', "data: [DONE]\n\n"):
        payload = {
            "finish_reason": "stop",
            "choices": [
                {
                    "delta": {"content": content, "finish_reason": "stop"},
                    "finish_reason": None,
                    key + '"finish_reason': "stop",
                    "logprobs": {"finish_reason": "stop", "error": {"a": 1}},
                }
            ],
        }
        body = b"data: " + json.dumps(payload, ensure_ascii=ascii_only).encode() + b"\n\n"
        scanner = scan(StreamEnd.CHAT, body)
        assert (scanner.finished, scanner.error_seen, scanner.events) == (False, False, 1)
        payload["choices"][0]["finish_reason"] = "length"  # type: ignore[index]  # built just above
        assert scan(StreamEnd.CHAT, b"data: " + json.dumps(payload).encode() + b"\n\n").finished


def test_whole_events_leave_as_they_came() -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    data = b"data: " + choice("x") + b"\n\n"
    assert scanner.feed(data) is data
    assert scanner.feed(data + data) == data + data
    assert (scanner.events, scanner.deltas) == (3, 3)
    assert scanner.feed(data[:20]) == b""
    assert scanner.feed(data[20:] + b"data: [") == data
    assert scanner.feed(b"DONE]\r\n\r\n: tail") == b"data: [DONE]\r\n\r\n"
    assert scanner.done
    assert scanner.flush() == b": tail"


@pytest.mark.parametrize(
    ("end", "stream", "usage"),
    [
        (StreamEnd.CHAT, b'data: {"usage":null,"choices":[]}\n\n', None),
        (StreamEnd.CHAT, FINAL_WITH_USAGE, Usage(1, 2)),
        (StreamEnd.RESPONSES, RESPONSES_USAGE, Usage(8, 9)),
        (StreamEnd.MESSAGES, MESSAGES_USAGE, Usage(35, 7)),
        (
            StreamEnd.CHAT,
            b'data: {"choices":[],"usage":{"prompt_tokens":true,"completion_tokens":-1}}\n\n',
            None,
        ),
        (StreamEnd.CHAT, b'data: {"choices":[],"usage":[5]}\n\n', None),
    ],
)
def test_usage(end: StreamEnd, stream: bytes, usage: Usage | None) -> None:
    assert scan(end, stream).usage == usage


@pytest.mark.parametrize(
    "payload",
    [
        b'{"error":{"message":"boom","type":"BadRequestError","code":400}}',
        b'{"error":"Unexpected endpoint or method. (GET /x)"}',
        b'{"error":{"message":"x","http_status_code":422}}',
        b'{"object":"error","message":"x","type":"BadRequestError","param":null,"code":400}',
        b'[{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT"}}]',
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
    ],
)
@pytest.mark.parametrize("end", [StreamEnd.CHAT, StreamEnd.RESPONSES, StreamEnd.MESSAGES])
@pytest.mark.parametrize("before", [b"", b": keep-alive\n\n", b"\xef\xbb\xbf:\n\n\n", b"retry: 5\n\n"])
def test_an_error_as_the_first_event(end: StreamEnd, payload: bytes, before: bytes) -> None:
    scanner = scan(end, before + b"data: " + payload + b"\n\n")
    assert scanner.error_first == payload
    assert scanner.error_seen
    assert scanner.finished is (end is not StreamEnd.CHAT)


def test_an_event_named_error_is_one_whatever_it_holds() -> None:
    scanner = scan(StreamEnd.CHAT, b"event: error\ndata: out of memory\n\n")
    assert scanner.error_first == b"out of memory"
    assert not scanner.finished


def test_a_later_error_is_not_the_first() -> None:
    scanner = scan(StreamEnd.CHAT, b"data: " + choice("x") + b'\n\ndata: {"error":{"message":"x"}}\n\n')
    assert (scanner.error_first, scanner.error_seen, scanner.finished) == (None, True, False)


def test_no_error_is_no_error() -> None:
    stream = b'data: {"error":null,"choices":[]}\n\ndata: {"error":{},"choices":[]}\n\n'
    assert not scan(StreamEnd.CHAT, stream).error_seen


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_ends_of_responses(kind: str) -> None:
    event = f'event: {kind}\ndata: {{"type":"{kind}","response":{{}}}}\n\n'.encode()
    scanner = scan(StreamEnd.RESPONSES, b'data: {"type":"response.output_text.delta","delta":"a"}\n\n', event)
    assert (scanner.finished, scanner.deltas) == (True, 1)
    assert scanner.error_seen is (kind == "response.failed")


def test_a_byte_order_mark_opens_the_stream_and_is_no_content() -> None:
    for pieces in ((b"\xef\xbb\xbf: hello\n\n",), (b"\xef", b"\xbb\xbf: hello\n", b"\n")):
        assert scan(StreamEnd.CHAT, *pieces).commented_only
    assert scan(StreamEnd.CHAT, b"\xef\xbb\xbfdata: [DONE]\n\n").done
    assert not scan(StreamEnd.CHAT, b":\n\n\xef\xbb\xbfdata: [DONE]\n\n").done


def test_a_carriage_return_inside_what_looks_like_one_event() -> None:
    assert scan(StreamEnd.CHAT, b"data: 1\r\rdata: [DONE]\n\n").events == 2
    assert scan(StreamEnd.CHAT, b"data: [DONE]\revent: x\n\n").done


def test_an_event_leaves_with_the_byte_that_ends_it() -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    assert scanner.feed(b"data: 1\n") == b""
    assert scanner.feed(b"\n") == b"data: 1\n\n"


def test_a_long_event_let_go_just_before_its_blank_line() -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    scanner.feed(b"data: " + choice("x" * HELD_BYTES, "stop") + b"\n")
    assert scanner.split
    assert scanner.feed(b"\ndata: 1") == b"\n"
    assert (scanner.split, scanner.finished, scanner.events) == (False, True, 1)


def test_comments_alone() -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    assert scanner.feed(b": keep-alive\n\n") == b": keep-alive\n\n"
    scanner.feed(b": prefill_progress {}\n\n\n\r\n")
    assert scanner.commented_only
    scanner.feed(b"data: " + choice("x") + b"\n\n")
    assert not scanner.commented_only


def test_the_last_line_may_lack_its_blank_line() -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    assert scanner.feed(b"data: [DONE]\n") == b""
    assert not scanner.finished
    assert scanner.flush() == b"data: [DONE]\n"
    assert scanner.finished


def test_a_cut_event_says_nothing() -> None:
    assert not scan(StreamEnd.CHAT, (b"data: " + choice(None, "stop"))[:-1]).finished


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_an_endless_event_leaves_in_pieces(newline: bytes) -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    long = b"data: " + choice("x" * (2 * HELD_BYTES), "stop") + newline
    first = long[: HELD_BYTES + 1]
    assert scanner.feed(first[:HELD_BYTES]) == b""
    assert scanner.feed(first[HELD_BYTES:]) == first
    assert scanner.split
    assert scanner.feed(long[HELD_BYTES + 1 :]) == long[HELD_BYTES + 1 :]
    assert (scanner.split, scanner.finished) == (True, False)
    assert scanner.feed(newline + b"data: ") == newline
    assert (scanner.split, scanner.finished, scanner.events, scanner.deltas) == (False, True, 1, 1)
    assert scanner.feed(b"[DONE]" + newline * 2)[:6] == b"data: "
    assert scanner.events == 2


@given(st.lists(st.integers(0, 10**6), max_size=6), st.sampled_from([b"\n", b"\r\n"]))
def test_long_events_are_judged_whole_however_they_are_cut(places: list[int], newline: bytes) -> None:
    long = b"data: " + choice("y" * 70_000, "stop") + newline * 2
    stream = long + b"data: " + choice("z") + newline * 2 + long + b"data: [DONE]" + newline * 2
    assert findings(scan(StreamEnd.CHAT, *cut(stream, places))) == findings(scan(StreamEnd.CHAT, stream))


def test_an_enormous_event_is_judged_by_its_name() -> None:
    head = b"event: response.completed\ndata: "
    pieces = [head, *[b"x" * 50_000] * (JUDGED_BYTES // 50_000 + 2), b"\n\n"]
    scanner = scan(StreamEnd.RESPONSES, *pieces)
    assert (scanner.finished, scanner.events, scanner.split) == (True, 1, False)


def test_a_stream_that_ends_inside_a_long_event() -> None:
    scanner = SseScanner(StreamEnd.CHAT)
    scanner.feed(b"data: " + choice("x" * HELD_BYTES, "stop"))
    assert scanner.split
    assert scanner.flush() == b""
    assert scanner.finished


@pytest.mark.parametrize("path", STREAMS, ids=lambda p: f"{p.parent.name}-{p.stem}")
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_recorded_streams(path: Path, size: int) -> None:
    body = body_of(path)
    end = StreamEnd.CHAT
    if path.stem.startswith("responses"):
        end = StreamEnd.RESPONSES
    elif path.stem.startswith("anthropic"):
        end = StreamEnd.MESSAGES
    whole = scan(end, body)
    assert findings(scan(end, *(body[i : i + size] for i in range(0, len(body), size)))) == findings(whole)
    assert whole.finished
    assert whole.deltas > 0
    assert whole.events == len(specified(body))
    assert not whole.error_seen
    assert (b'"usage":{' in body) is (whole.usage is not None)
