"""Replies that are known again, against llhttp's judgement of the very same bytes."""

from __future__ import annotations

import httptools
from hypothesis import given
from hypothesis import strategies as st
from tests.http.peers import bench, peer, replies

from nexus.http.known_reply import MISSES, KnownReply, known_reply
from nexus.protocol.headers import Header, field_names, read_reply

HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: x/1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 5\r\nX-Odd: a b\r\n\r\n"
)
REPLY = HEAD + b"hello"


class Parsed:
    """What llhttp makes of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[Header] = []
        self.body = b""
        self.ends = 0
        self.begun = 0
        self.failed = False
        self.facts: tuple[int, str, bool] | None = None
        self.parser = httptools.HttpResponseParser(self)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.failed = True

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        self.facts = (parser.get_status_code(), parser.get_http_version(), parser.should_keep_alive())

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ends += 1


def known(data: bytes = REPLY) -> KnownReply:
    headers = Parsed(data).headers
    found = known_reply(data, headers, field_names(tuple(name for name, _ in headers)))
    assert found is not None
    return found


def test_another_length_and_another_date_are_known_again() -> None:
    reply = known()
    other = REPLY.replace(b"10:00:00", b"10:00:01").replace(b": 5\r", b": 12\r") + b", world"
    for data in (REPLY, other, REPLY, other):
        found = reply.read(data)
        assert found is not None
        assert found == (Parsed(data).headers, Parsed(data).body)
        names = field_names(tuple(name for name, _ in found[0]))
        assert reply.names.told == read_reply(found[0], names)


def test_what_is_not_like_it_is_the_parsers_matter() -> None:
    reply = known()
    for data in (
        REPLY[:-1],
        REPLY + b"!",
        HEAD,
        REPLY.replace(b"200 OK", b"500 OK"),
        REPLY.replace(b"x/1", b"x/2"),
        REPLY.replace(b"X-Odd: a b\r\n", b""),
        REPLY.replace(b"X-Odd", b"x-odd"),
        REPLY.replace(b"Length: 5", b"Length: 05 "),
        REPLY.replace(b"Length: 5", b"Length:  5"),
        REPLY.replace(b"Length: 5", b"Length: +5"),
        REPLY.replace(b"GMT", b"G\nT"),
        REPLY.replace(b"GMT", b"UTC"),
        REPLY.replace(b"\r\nX-Odd", b"\r\nContent-Length: 5\r\nX-Odd"),
        REPLY.replace(b"Length: 5", b"Length: " + b"0" * 30 + b"5"),
        b"",
        b"\r\n\r\n",
    ):
        assert reply.read(data) is None
    assert reply.read(REPLY) is not None


def test_heads_whose_lines_are_not_their_fields_are_not_remembered() -> None:
    for odd in (b"X-Odd:a b", b"X-Odd:  a b", b"X-Odd:\ta b"):
        data = REPLY.replace(b"X-Odd: a b", odd)
        headers = Parsed(data).headers
        assert known_reply(data, headers, field_names(tuple(name for name, _ in headers))) is None


@given(
    st.lists(
        st.tuples(st.integers(0, len(REPLY)), st.integers(0, 2), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_known_again_is_what_the_parser_reads(edits: list[tuple[int, int, bytes]]) -> None:
    data = REPLY
    for at, gone, more in edits:
        data = data[:at] + more + data[at + gone :]
    found = known().read(data)
    if found is not None:
        parsed = Parsed(data)
        assert not parsed.failed
        assert (parsed.begun, parsed.ends) == (1, 1)
        assert parsed.facts == (200, "1.1", True)
        assert found == (parsed.headers, parsed.body)


async def test_replies_alike_unlike_and_alike_again_over_one_connection() -> None:
    odd = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-N: %d\r\n\r\nhi"
    error = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
    answers = [REPLY, REPLY, error, REPLY, *(odd % number for number in range(MISSES + 3)), REPLY, REPLY]
    async with peer(replies(*answers)) as server, bench() as b:
        for answer in answers:
            handler = await b.post(server.origin)
            assert handler.status == int(answer[9:12])
            assert handler.body == answer.partition(b"\r\n\r\n")[2]
            assert handler.headers == Parsed(answer).headers
        assert len(server.callers) == 1
