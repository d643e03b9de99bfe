"""Seeded fuzz: no bytes make the server fail, misread a body, or answer in the wrong place.

A session of requests is mutated (bytes flipped, dropped, repeated, exchanged with tokens that
mean something to HTTP) and sent in pieces. The sessions in ``corpus``, known tricks and whatever
showed a defect, run first.
"""

from __future__ import annotations

import asyncio
import gc
import random
from pathlib import Path

import httptools
import msgspec
import pytest
from tests.http.server_kit import connect, get, post, serve

from nexus.errors import RequestError
from nexus.http.body import ChunkedBody
from nexus.http.limits import ServerLimits
from nexus.http.reader import RequestReader
from nexus.http.server import Request

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.http"))
LIMITS = ServerLimits(head_bytes=2000, request_line=500, fields=20, body_bytes=3000, buffered_bytes=10_000)
CHUNKS = b"4;a=b\r\nwiki\r\n5\r\npedia\r\n0\r\nExpires: never\r\n\r\n"
SEEDS = [
    get("/v1/models"),
    post(b'{"model":"m"}', path="/v1/chat/completions"),
    post(b"", "Connection: close"),
    get("/", "Transfer-Encoding: chunked", method="POST") + CHUNKS,
    post(b"body", "Expect: 100-continue"),
    post(b"body", "Connection: Upgrade", "Upgrade: h2c"),
    get("/", version="1.0"),
    get(method="HEAD"),
    get("http://test/path?query", "X-A: b", "X-A: c"),
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b";", b",", b"0\r\n\r\n", b"\xff", b"\x7f", b"chunked",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"HTTP/1.1", b"HTTP/2.0",
    b"CONNECT", b"-1", b"ffffffffffffffff", b"Connection: close\r\n", b"Upgrade: x\r\n", b"\r\n\r\n",
]  # fmt: skip


def session(rng: random.Random) -> bytes:
    data = bytearray(b"".join(rng.choices(SEEDS, k=rng.randint(1, 4))))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice(TOKENS)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at : at + 1] = bytes((rng.randrange(256),))
            case _:
                data[at:at] = data[at : at + rng.randint(1, 40)] * rng.choice((1, 2, 100))
    return bytes(data)


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    size = rng.choice((1, 7, 100, 1_000_000))
    return [data[at : at + size] for at in range(0, len(data), size)]


def requests(parts: list[bytes]) -> tuple[list[Request], str]:
    """What a connection that never pauses would take out of ``parts``, and how it ends."""
    reader = RequestReader(LIMITS)
    found: list[Request] = []
    waiting: Request | None = None
    try:
        for part in parts:
            reader.pending += part
            while (request := waiting or reader.next_head()) is not None:
                if (request.length or 0) > LIMITS.body_bytes:
                    return found, "too large"
                waiting = None if reader.take_body(request) else request
                if waiting is not None:
                    break
                found.append(request)
                if not request.keep_alive:
                    return found, "closed"
    except RequestError as error:
        return found, type(error).__name__
    return found, "open"


def facts(request: Request) -> tuple[object, ...]:
    return request.method, request.path, request.query, request.version, tuple(request.headers), request.body


def sessions(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [path.read_bytes() for path in CORPUS] + [session(rng) for _ in range(count)]


def test_how_bytes_are_split_never_matters() -> None:
    rng = random.Random(1)
    for data in sessions(2, 1500):
        whole, end = requests([data])
        for parts in (pieces(rng, data), pieces(rng, data)):
            again, other_end = requests(parts)
            # In pieces another limit may be seen first, but the requests are the same.
            assert [facts(request) for request in again] == [facts(request) for request in whole], data
            assert (other_end in {"open", "closed"}) == (end in {"open", "closed"}), data


def like_message(rng: random.Random) -> bytes:
    """One of a few messages that differ in little besides the length of their bodies."""
    path = rng.choice((b"", b"", b"", b"a"))
    line = b"POST /%b HTTP/1.1\r\nHost: x\r\n" % path
    if not rng.randrange(8):
        return line + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    if not rng.randrange(8):
        return line + b"\r\n"
    size = rng.choice((0, 7, 10, 11, 99))
    digits = rng.choice((b"%d", b"%d", b"%d", b"%02d", b"-%d", b"%d, 7")) % size
    field = rng.choice(
        (b"Content-Length: ", b"Content-Length: ", b"content-length:", b"X: 1\r\nContent-Length: ")
    )
    return line + field + digits + b"\r\nA: b\r\n\r\n" + bytes(rng.choices(b"\r\nPOST 1", k=size))


def test_what_was_read_before_changes_nothing() -> None:
    rng = random.Random(4)
    for _ in range(1500):
        messages = [like_message(rng) for _ in range(rng.randint(2, 8))]
        expected: list[Request] = []
        end = "open"
        for message in messages:
            found, end = requests([message])
            expected += found
            if end != "open":
                break
        torn: list[bytes] = []
        for message in messages:
            cut = rng.choice((0, rng.randrange(len(message))))
            torn += (message[:cut], message[cut:])
        for parts in ([b"".join(messages)], pieces(rng, b"".join(messages)), messages, torn):
            again, other_end = requests(parts)
            assert [facts(request) for request in again] == [facts(request) for request in expected]
            assert other_end == end


def test_nothing_of_a_request_is_kept_for_the_next_but_its_head() -> None:
    reader = RequestReader(LIMITS)
    for _ in range(2):
        reader.pending += b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
        request = reader.next_head()
        assert request is not None
        assert request.body == b""
        assert reader.take_body(request)
        assert not [holder for holder in gc.get_referrers(request) if isinstance(holder, msgspec.Struct)]


def test_requests_never_hold_what_may_not_be_in_them() -> None:
    for data in sessions(3, 1500):
        for request in requests([data])[0]:
            assert request.path.startswith("/") or request.path == "*"
            assert not set(request.path + request.query) & set("\0\r\n \t\x7f")
            for name, value in request.headers:
                assert name
                assert not set(name) & set(b"\0\r\n \t:")
                assert not set(value) & set(b"\0\r\n\x7f")
            names = [name.lower() for name, _ in request.headers]
            assert names.count(b"host") == 1 or request.version == (1, 0)
            assert not {b"content-length", b"transfer-encoding"} <= set(names)


class Oracle:
    """llhttp on a whole chunked body."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = 0

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.body += data

    def on_message_complete(self) -> None:
        self.complete += 1


def test_a_chunked_body_is_what_llhttp_says_and_ends_where_it_ends() -> None:
    rng = random.Random(4)
    for _ in range(3000):
        data = bytearray(CHUNKS)
        for _ in range(rng.randint(0, 3)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randint(0, 2)] = rng.choice(TOKENS)
        oracle = Oracle()
        parser = httptools.HttpRequestParser(oracle)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        refused = False
        try:
            parser.feed_data(bytes(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            refused = True
        body, rest, ours_refused = ChunkedBody(LIMITS), None, False
        try:
            # A line is judged when it is complete, so what llhttp refuses gets its end.
            for part in [*pieces(rng, bytes(data)), *([b"\n"] if refused and not oracle.complete else [])]:
                rest = body.feed(part) if rest is None else rest + part
        except RequestError:
            ours_refused = True
        if oracle.complete:
            assert rest is not None
            assert body.whole() == oracle.body
        else:
            assert rest is None
            assert ours_refused or not refused


@pytest.mark.timeout(180)
async def test_no_session_makes_the_server_fail(caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(5)
    async with serve(limits=LIMITS) as front:
        for data in sessions(6, 150):
            async with connect(front) as client:
                expected, end = requests([data])
                front.app.handled.clear()
                turns = rng.choice((0, 0, 1, 3))
                for part in pieces(rng, data) if len(data) < 1000 else [data]:
                    client.writer.write(part)
                    # Else all of it is there before the server reads, unless the machine is busy.
                    for _ in range(turns):
                        await asyncio.sleep(0)
                client.writer.write_eof()
                replies = replies_of(await client.rest())
                assert all(status in {100, 200, 400, 413, 414, 431} for status in replies), data
                assert replies.count(200) == len(front.app.handled) == len(expected), data
                if end not in {"open", "closed"}:
                    assert replies[-1] >= 400, data
        await front.settled()
    assert not caplog.records


def replies_of(data: bytes) -> list[int]:
    """The statuses in ``data``, which must be whole replies; those to HEAD end at their head."""
    statuses: list[int] = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator
        assert head.startswith(b"HTTP/1.1 ")
        statuses.append(int(head[9:12]))
        for line in head.split(b"\r\n"):
            if line.startswith(b"Content-Length: ") and not data.startswith(b"HTTP/1.1 "):
                length = int(line[16:])
                assert len(data) >= length or not data
                data = data[length:]
    return statuses
