"""Whole requests and replies: framing, versions, order."""

from __future__ import annotations

import asyncio

import pytest
from tests.http.server_kit import TEXT, App, connect, get, post, serve, until

from nexus.errors import InvalidApiKey
from nexus.http.server import Reply, Request


async def test_a_request_arrives_whole_and_its_reply_carries_what_it_must() -> None:
    async with serve() as front, connect(front) as client:
        answer = await client.ask(post(b"hello", "X-Mine: a", "x-mine: b", path="/v1/a%2Fb?x=1&y"))
        assert answer.status == 200
        assert answer.json == {
            "method": "POST",
            "path": "/v1/a%2Fb",
            "query": "x=1&y",
            "version": [1, 1],
            "body": "hello",
        }
        assert answer.headers["server"] == "nexus"
        assert answer.headers["date"].endswith("GMT")
        assert "connection" not in answer.headers
        (request,) = front.app.handled
        assert request.header(b"x-mine") == b"a, b"
        assert (b"X-Mine", b"a") in request.headers
        assert request.header(b"absent") is None
        assert request.peer == "127.0.0.1"
        assert request.received_at == front.clock.now()


async def test_one_connection_serves_many_requests() -> None:
    async with serve() as front, connect(front) as client:
        for number in range(5):
            answer = await client.ask(post(b"%d" % number))
            assert answer.json["body"] == str(number)
        assert front.server.connections == 1


async def test_a_body_in_many_pieces_is_one_body() -> None:
    async with serve() as front, connect(front) as client:
        for byte in post(b"0123456789"):
            await client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer()).json["body"] == "0123456789"


async def test_streamed_reply_is_chunked_and_head_leaves_with_the_first_write() -> None:
    async def stream(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], None)
        reply.write(b"one")
        await asyncio.sleep(0)
        reply.write(b"")
        reply.write(b"two")
        reply.end()

    async with serve(stream) as front, connect(front) as client:
        answer = await client.ask(get())
        assert answer.body == b"onetwo"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert (await client.ask(get())).body == b"onetwo"


async def test_reply_of_known_length() -> None:
    def known(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], 6)
        reply.write(b"abc")
        reply.write(b"def")
        reply.end()

    async with serve(known) as front, connect(front) as client:
        answer = await client.ask(get())
        assert (answer.body, answer.headers["content-length"]) == (b"abcdef", "6")


async def test_reply_shorter_than_announced_is_cut() -> None:
    def short(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], 6)
        reply.write(b"abc")
        reply.end()

    async with serve(short) as front, connect(front) as client:
        await client.send(get())
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()


async def test_head_gets_the_length_without_the_body() -> None:
    async with serve() as front, connect(front) as client:
        await client.send(get(method="HEAD") + get("/next"))
        first = await client.answer(to_head=True)
        assert int(first.headers["content-length"]) > 0
        assert (await client.answer()).json["path"] == "/next"


@pytest.mark.parametrize("length", [3, None])
async def test_head_of_a_started_reply_has_no_body(length: int | None) -> None:
    def start(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], length)
        reply.write(b"abc")
        reply.end()

    async with serve(start) as front, connect(front) as client:
        await client.send(get(method="HEAD", path="/") + get(method="HEAD", path="/"))
        await client.answer(to_head=True)
        await client.answer(to_head=True)


async def test_status_without_content_has_no_framing() -> None:
    async with serve(lambda _request, reply: reply.send(204, [], b"")) as front, connect(front) as client:
        answer = await client.ask(get())
        assert answer.status == 204
        assert "content-length" not in answer.headers


async def test_http10_closes_unless_asked_to_stay() -> None:
    async with serve() as front:
        async with connect(front) as client:
            answer = await client.ask(get(version="1.0"))
            assert answer.headers["connection"] == "close"
            assert await client.rest() == b""
        async with connect(front) as client:
            for _ in range(2):
                answer = await client.ask(get("/", "Connection: keep-alive", version="1.0"))
                assert answer.headers["connection"] == "keep-alive"


async def test_http10_stream_ends_with_the_connection() -> None:
    def stream(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], None)
        reply.write(b"one")
        reply.write(b"two")
        reply.end()

    async with serve(stream) as front, connect(front) as client:
        answer = await client.ask(get("/", "Connection: keep-alive", version="1.0"))
        assert answer.headers["connection"] == "close"
        assert "transfer-encoding" not in answer.headers
        assert answer.body == b"onetwo"


async def test_an_aborted_http10_stream_is_a_reset_not_an_end() -> None:
    def stream(_request: Request, reply: Reply) -> None:
        reply.start(200, [TEXT], None)
        reply.write(b"one")
        reply.abort()

    async with serve(stream) as front, connect(front) as client:
        with pytest.raises(ConnectionResetError):
            await client.ask(get(version="1.0"))


async def test_connection_close_is_honoured() -> None:
    async with serve() as front, connect(front) as client:
        answer = await client.ask(get("/", "Connection: foo, Close"))
        assert answer.headers["connection"] == "close"
        assert await client.rest() == b""


async def test_draining_replies_close() -> None:
    async with serve() as front, connect(front) as client:
        assert "connection" not in (await client.ask(get())).headers
        front.server.draining = True
        assert (await client.ask(get())).headers["connection"] == "close"
        assert await client.rest() == b""


async def test_pipelined_requests_are_answered_in_order() -> None:
    gates: dict[str, asyncio.Event] = {"/0": asyncio.Event(), "/1": asyncio.Event(), "/2": asyncio.Event()}

    async def wait(request: Request, reply: Reply) -> None:
        await gates[request.path].wait()
        reply.send(200, [TEXT], request.path.encode() + request.body)

    async with serve(wait) as front, connect(front) as client:
        await client.send(get("/0") + post(b"b", path="/1") + get("/2"))
        gates["/2"].set()
        gates["/1"].set()
        await until(lambda: len(front.app.handled) == 1)
        gates["/0"].set()
        assert [(await client.answer()).body for _ in range(3)] == [b"/0", b"/1b", b"/2"]


async def test_a_thousand_pipelined_requests_need_no_deep_stack() -> None:
    async with serve() as front, connect(front) as client:
        await client.send(get() * 3000)
        for _ in range(3000):
            assert (await client.answer()).status == 200


async def test_refusal_of_a_whole_request_keeps_the_connection() -> None:
    def gate(_head: Request) -> None:
        raise InvalidApiKey("no key")

    app = App(gate=gate)
    async with serve(app) as front, connect(front) as client:
        for _ in range(3):
            answer = await client.ask(post(b"secret"))
            assert (answer.status, answer.code) == (401, "invalid_api_key")
        assert not app.handled


async def test_an_upgrade_is_not_taken_and_the_body_is() -> None:
    lines = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    )
    message = post(b"java's body", *lines)
    async with serve() as front, connect(front) as client:
        assert (await client.ask(message)).json["body"] == "java's body"
        await client.send(message[:-6])
        await until(lambda: front.server.buffered > 0)
        assert (await client.ask(message[-6:])).json["body"] == "java's body"
        chunked = get("/", *lines, "Transfer-Encoding: chunked", method="POST")
        await client.send(chunked)
        assert (await client.ask(b"4\r\nbody\r\n0\r\n\r\n")).json["body"] == "body"
        assert (await client.ask(chunked + b"4\r\nbody\r\n0\r\n\r\n" + get())).json["body"] == "body"
        assert (await client.answer()).json["method"] == "GET"
