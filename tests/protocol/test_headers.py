"""Allow-lists and the few header values that Nexus reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.protocol import headers as h


def read_reply(headers: list[h.Header]) -> tuple[bytes, bool, bool]:
    return h.read_reply(headers, h.field_names(tuple(name for name, _ in headers)))


def test_what_a_reply_loses_and_keeps() -> None:
    reply = [
        (b"Server", b"llama.cpp"),
        (b"Access-Control-Allow-Origin", b""),
        (b"Content-Type", b"application/json"),
        (b"content-length", b"12"),
        (b"X-Request-Id", b"abc"),
        (b"X-NEXUS-Backend", b"spoof"),
        (b"x-ratelimit-remaining-requests", b"7"),
        (b"Set-Cookie", b"a=b"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Connection", b"Keep-Alive, X-Private"),
        (b"x-private", b"hop"),
        (b"Location", b"http://10.0.0.1/"),
        (b"Alt-Svc", b"h3"),
        (b"Strict-Transport-Security", b"max-age=1"),
        (b"Date", b"now"),
        (b"Trailer", b"x"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Encoding", b"gzip"),
    ]
    assert read_reply(reply)[0] == (
        b"Content-Type: application/json\r\n"
        b"X-Request-Id: abc\r\n"
        b"x-ratelimit-remaining-requests: 7\r\n"
        b"Content-Encoding: gzip\r\n"
    )


def test_headers_named_by_any_connection_field_are_lost_wherever_they_stand() -> None:
    reply = [(b"B", b"1"), (b"connection", b" a ,b"), (b"A", b"2"), (b"C", b"3"), (b"Connection", b"close")]
    assert read_reply(reply)[0] == b"C: 3\r\n"


def test_find_and_media_types() -> None:
    fields = [(b"CONTENT-type", b" Text/Event-Stream ; charset=utf-8"), (b"content-type", b"text/plain")]
    assert h.find(fields, b"content-type") == fields[0][1]
    assert h.find(fields, b"accept") is None
    assert read_reply(fields)[1]
    assert not read_reply(fields[1:])[1]
    assert not read_reply([])[1]
    assert h.media_type(None) == b""


@pytest.mark.parametrize(
    ("value", "coded"),
    [(b"gzip", True), (b" Identity ", False), (b"", False), (b"BR", True), (None, False)],
)
def test_content_coding(value: bytes | None, coded: bool) -> None:
    headers = [] if value is None else [(b"content-Encoding", value)]
    assert read_reply(headers)[2] is coded


@pytest.mark.parametrize("good", [b"a", b"A-Z.0_9", b"x" * 128])
def test_a_clients_request_id_is_kept(good: bytes) -> None:
    assert h.request_id(good, lambda: "made") == good.decode()


@pytest.mark.parametrize("bad", [None, b"", b"x" * 129, b"a b", b"a\n", b"\xff", b"a;b", b"<x>"])
def test_an_unsafe_request_id_is_replaced(bad: bytes | None) -> None:
    assert h.request_id(bad, lambda: "made") == "made"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (b"", None),
        (b"0", 0.0),
        (b" 7 ", 7.0),
        (b"1.5", 1.5),
        (b"61", 60.0),
        (b"99999999999999999999", 60.0),
        (b"-5", None),
        (b"soon", None),
        (b"nan", None),
        (b"1e3", None),
        (b"\xff", None),
        (b"Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        (b"Thursday, 01-Jan-70 00:16:50 GMT", 10.0),
        (b"Thu Jan  1 00:16:50 1970", 10.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
        (b"Fri, 99 Dec 9999 99:59:59 GMT", None),
        (b"1" * 30, None),
    ],
)
def test_retry_after(value: bytes | None, seconds: float | None) -> None:
    assert h.retry_after(value, 1000.0) == seconds


@given(st.binary(max_size=40), st.floats(0, 2e9))
def test_any_retry_after_is_read_or_ignored(value: bytes, wall: float) -> None:
    seconds = h.retry_after(value, wall)
    assert seconds is None or 0 <= seconds <= h.MAX_RETRY_AFTER


def test_gateways_are_listed_in_order() -> None:
    assert h.passed_gateways(None) == ()
    assert h.passed_gateways(b" a, b ,,c") == ("a", "b", "c")
    assert h.add_gateway(None, "me") == b"me"
    assert h.add_gateway(b"a,b", "me") == b"a, b, me"


@given(st.integers(1, 30), st.integers(0, 12))
def test_every_loop_is_met_or_seen_to_be_too_long(ring: int, before: int) -> None:
    value: bytes | None = None
    for outside in range(before):
        value = h.add_gateway(value, f"outside{outside}")
    for step in range(ring):
        assert f"ring{step}" not in h.passed_gateways(value)
        value = h.add_gateway(value, f"ring{step}")
    passed = h.passed_gateways(value)
    assert "ring0" in passed or len(passed) > h.MAX_GATEWAYS
    assert (len(passed) > h.MAX_GATEWAYS) == (before + ring > h.MAX_GATEWAYS)
    assert len(passed) <= h.MAX_GATEWAYS + 1


def test_credentials_and_addresses_are_not_forwarded() -> None:
    assert all(name == name.lower() for name in h.FORWARDED)
    assert h.FORWARDED.isdisjoint(
        {b"authorization", b"x-api-key", b"cookie", b"host", b"forwarded", b"x-forwarded-for", b"origin"}
    )
