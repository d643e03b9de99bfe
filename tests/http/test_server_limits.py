"""What is refused, how, and that the client sees it."""

from __future__ import annotations

import asyncio

import pytest
from tests.http.server_kit import TEXT, App, Client, connect, get, post, serve, until

from nexus.errors import Forbidden
from nexus.http.limits import ServerLimits
from nexus.http.server import Reply, Request

SMALL = ServerLimits(body_bytes=1000, buffered_bytes=1500, pipelined_bytes=500)
CHUNKED = "Transfer-Encoding: chunked"


async def refused(client: Client, data: bytes, status: int, code: str) -> None:
    answer = await client.ask(data)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS / RTSP/1.0\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n",
        get("/", "X: a\x01b"),
        get("/", "X: a\x00b"),
        get("/", "X: a\x7fb"),
        get("/", "X: a", " folded"),
        get("/", "X : a"),
        get("/", ": a"),
        get("/", "no colon"),
        get("/", "Host: second"),
        b"GET / HTTP/1.1\r\n\r\n",
        get("/", "Content-Length: 3", CHUNKED, method="POST"),
        get("/", CHUNKED, "Content-Length: 3", method="POST"),
        get("/", "Content-Length: 3", "Content-Length: 4", method="POST"),
        get("/", "Content-Length: 3, 4", method="POST"),
        get("/", "Content-Length: +3", method="POST"),
        get("/", "Content-Length: 0x3", method="POST"),
        get("/", "Content-Length: -3", method="POST"),
        get("/", "Content-Length:", method="POST"),
        get("/", "Content-Length: 99999999999999999999999999", method="POST"),
        get("/", "Transfer-Encoding: gzip", method="POST"),
        get("/", "Transfer-Encoding: gzip, chunked", method="POST"),
        get("/", CHUNKED, CHUNKED, method="POST"),
        get("/", "Transfer-Encoding: chunked, identity", method="POST"),
        get("/", CHUNKED, method="POST", version="1.0"),
    ],
)
async def test_what_is_not_http_is_400_at_once(data: bytes) -> None:
    async with serve() as front, connect(front) as client:
        await refused(client, data, 400, "invalid_request_error")
        assert not front.app.handled


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n0\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"1_0\r\n",
        b"1\na\n0\n\n",
        b"1 \r\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n\r\n",
        b"ffffffffffffffffffff\r\n",
        b"1;" + b"e" * 9000,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\nX: a\r\n folded\r\n\r\n",
    ],
)
async def test_bad_chunks_are_400(body: bytes) -> None:
    async with serve() as front, connect(front) as client:
        answer = await client.ask(get("/", CHUNKED, method="POST") + body)
        assert answer.status in {400, 413}
        assert answer.headers["connection"] == "close"
        assert await client.rest() == b""
        assert not front.app.handled


async def test_chunked_with_extensions_and_trailers_and_a_request_behind_it() -> None:
    body = b'4;a=b;c="d"\r\nwiki\r\n5\r\npedia\r\n0\r\nExpires: never\r\nX: y\r\n\r\n'
    message = get("/", CHUNKED, method="POST") + body + get("/next")
    async with serve() as front, connect(front) as client:
        assert (await client.ask(message)).json["body"] == "wikipedia"
        assert (await client.answer()).json["path"] == "/next"
        for byte in message:
            await client.send(bytes((byte,)))
        assert (await client.answer()).json["body"] == "wikipedia"
        assert (await client.answer()).json["path"] == "/next"
        assert front.app.handled[0].header(b"expires") is None


async def test_empty_lines_between_requests_are_ignored() -> None:
    async with serve() as front, connect(front) as client:
        await client.send(b"\r\n\r\n" + get() + b"\r\n")
        await client.answer()
        assert (await client.ask(b"\r\n" + get("/2"))).json["path"] == "/2"
        assert front.server.buffered == 0


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://test/a?b", "/a"),
        ("http://test", "/"),
        ("https://u@test:1?x", "/"),
        ("//a/b", "//a/b"),
        ("*", "*"),
    ],
)
async def test_absolute_targets_are_paths(target: str, path: str) -> None:
    async with serve() as front, connect(front) as client:
        assert (await client.ask(get(target))).json["path"] == path


async def test_a_megabyte_of_headers_is_431_and_of_target_414() -> None:
    filler = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(1000))
    async with serve() as front:
        async with connect(front) as client:
            await refused(client, get()[:-2] + filler, 431, "headers_too_large")
        async with connect(front) as client:
            await refused(client, b"GET /" + b"a" * 1_000_000, 414, "uri_too_long")
        async with connect(front) as client:
            await refused(client, b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000, 431, "headers_too_large")
        assert not front.app.admitted


async def test_limits_of_a_head_are_exact() -> None:
    limits = ServerLimits(head_bytes=400, request_line=100, fields=5)
    line = b"GET /%s HTTP/1.1" % (b"a" * 86)
    assert len(line) == 100
    pad = 400 - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n")
    async with serve(limits=limits) as front:
        async with connect(front) as client:
            assert (await client.ask(line + b"\r\nHost: a\r\n\r\n")).status == 200
            assert (await client.ask(get("/", "A: b", "C: d", "E: f", "G: h"))).status == 200
            whole = b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n"
            assert (await client.ask(whole % (b"x" * pad))).status == 200
            await refused(client, whole % (b"x" * (pad + 1)), 431, "headers_too_large")
        async with connect(front) as client:
            await refused(client, line.replace(b"/", b"/a", 1) + b"\r\nHost: a\r\n\r\n", 414, "uri_too_long")
        async with connect(front) as client:
            lines = ("A: b", "C: d", "E: f", "G: h", "I: j")
            await refused(client, get("/", *lines), 431, "headers_too_large")


async def test_a_large_body_is_413_and_the_client_can_send_all_of_it() -> None:
    limits = ServerLimits(body_bytes=4_000_000)
    async with serve(limits=limits) as front, connect(front) as client:
        await refused(client, post(b"x" * 5_000_000), 413, "request_too_large")


async def test_a_chunked_body_over_the_limit_is_413() -> None:
    async with serve(limits=SMALL) as front:
        async with connect(front) as client:
            data = get("/", CHUNKED, method="POST") + b"1f4\r\n%s\r\n" % (b"x" * 500) * 3
            await refused(client, data, 413, "request_too_large")
        async with connect(front) as client:
            data = get("/", CHUNKED, method="POST") + b"1;%s\r\nx\r\n" % (b"e" * 5000) * 3
            await refused(client, data, 413, "request_too_large")
        async with connect(front) as client:
            trailers = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 5000) for n in range(20))
            data = get("/", CHUNKED, method="POST") + b"0\r\n" + trailers
            await refused(client, data, 431, "headers_too_large")


async def send_forever(client: Client) -> None:
    while True:
        await client.send(b"x" * 1000)
        await asyncio.sleep(0)


async def test_a_client_that_never_stops_sending_is_cut() -> None:
    async with serve(limits=SMALL) as front, connect(front) as client:
        assert (await client.ask(post(b"x" * 1500))).status == 413
        with pytest.raises(ConnectionError):
            await send_forever(client)


async def test_a_client_that_waits_after_a_refusal_is_cut_after_five_seconds() -> None:
    async with serve() as front, connect(front) as client:
        assert (await client.ask(b"garbage\r\n\r\n")).status == 400
        front.later(4.9)
        assert front.server.connections == 1
        front.later(0.2)
        await front.settled()


async def test_too_many_bytes_in_all_are_503_with_retry_after() -> None:
    async with serve(limits=SMALL) as front, connect(front) as first:
        await first.send(post(b"x" * 800)[:-1])
        await until(lambda: front.server.buffered == 799)
        async with connect(front) as second:
            answer = await second.ask(post(b"x" * 800))
            assert (answer.status, answer.code) == (503, "service_unavailable")
            assert answer.headers["retry-after"] == "1"
        async with connect(front) as third:
            answer = await third.ask(get("/", CHUNKED, method="POST") + b"320\r\n" + b"x" * 800)
            assert answer.status == 503
        assert (await first.ask(b"x")).status == 200
        assert front.server.buffered == 0


async def test_a_request_counts_until_its_reply_has_ended() -> None:
    release = asyncio.Event()

    async def wait(_request: Request, reply: Reply) -> None:
        await release.wait()
        reply.send(200, [TEXT], b"done")

    async with serve(wait) as front, connect(front) as client:
        await client.send(post(b"x" * 800))
        await until(lambda: front.server.buffered == 800)
        release.set()
        await client.answer()
        assert front.server.buffered == 0


async def test_a_head_that_drips_is_408_after_thirty_seconds() -> None:
    async with serve() as front, connect(front) as client:
        assert (await client.ask(get())).status == 200
        for byte in get()[:-1]:
            await client.send(bytes((byte,)))
            await asyncio.sleep(0)
        (connection,) = front.server._context.connections
        await until(lambda: connection._phase.name == "HEAD")
        front.later(29)
        assert front.server.connections == 1
        front.later(2)
        answer = await client.answer()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert await client.rest() == b""


async def test_a_body_may_take_long_but_not_stop() -> None:
    async with serve() as front, connect(front) as client:
        message = post(b"0123456789")
        await client.send(message[:-10])
        (connection,) = front.server._context.connections
        await until(lambda: connection._phase.name == "BODY")
        for n in range(9):
            front.later(29)
            await client.send(b"%d" % n)
            await until(lambda n=n: front.server.buffered == n + 1)  # type: ignore[misc]
        front.later(31)
        answer = await client.answer()
        assert (answer.status, answer.code) == (408, "request_timeout")


async def test_an_idle_connection_is_closed_silently_after_75_seconds() -> None:
    async with serve() as front, connect(front) as client, connect(front) as fresh:
        assert (await client.ask(get())).status == 200
        await until(lambda: front.server.connections == 2)
        front.later(74)
        assert front.server.connections == 2
        front.later(2)
        assert await client.rest() == b""
        assert await fresh.rest() == b""


async def test_expect_is_answered_after_the_gate_and_the_limits() -> None:
    def gate(head: Request) -> None:
        if head.path == "/closed":
            raise Forbidden("closed")

    app = App(gate=gate)
    async with serve(app, SMALL) as front:
        async with connect(front) as client:
            message = post(b"body", "Expect: 100-continue")
            await client.send(message[:-4])
            assert (await client.answer()).status == 100
            assert (await client.ask(b"body")).json["body"] == "body"
            assert (await client.ask(message)).json["body"] == "body"
        async with connect(front) as client:
            await refused(client, post(b"x", "Expect: 100-Continue", path="/closed")[:-1], 403, "forbidden")
        async with connect(front) as client:
            head = post(b"x" * 2000, "Expect: 100-continue")[:-2000]
            await refused(client, head, 413, "request_too_large")
        async with connect(front) as client:
            chunked = get("/", CHUNKED, "Expect: 100-continue", method="POST")
            assert (await client.ask(chunked)).status == 100
            assert (await client.ask(b"1\r\na\r\n0\r\n\r\n")).json["body"] == "a"
        async with connect(front) as client:
            await client.send(
                get("/", "Expect: 100-continue", "Content-Length: 1", version="1.0", method="POST")
            )
            assert (await client.ask(b"a")).json["body"] == "a"


async def test_a_refused_head_request_gets_no_body() -> None:
    def gate(_head: Request) -> None:
        raise Forbidden("closed")

    async with serve(App(gate=gate)) as front, connect(front) as client:
        await client.send(get(method="HEAD") + get())
        assert (await client.answer(to_head=True)).status == 403
        assert (await client.answer()).code == "forbidden"
