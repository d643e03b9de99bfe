"""A real server in front of ASGI applications, good and bad ones."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from tests.http.server_kit import connect, get, post, serve, until

from nexus.http.asgi import AsgiApp, AsgiBridge, Message, Receive, Send
from nexus.http.limits import ServerLimits

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def mounted(app: AsgiApp) -> Any:  # noqa: ANN401  the kit's handler
    return AsgiBridge(lambda: app).answer


async def shows_scope(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  ASGI's own
    first = await receive()
    shown = {key: str(value) for key, value in scope.items()} | {"body": first["body"].decode()}
    await send({**START, "headers": [(b"Content-Type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(shown).encode()})


async def test_the_scope_is_the_request() -> None:
    async with serve(mounted(shows_scope)) as front, connect(front) as client:
        answer = await client.ask(post(b"hello", "X-Odd: one", "X-Odd: two", path="/a%2Fb/%C3%A9?q=%20"))
    shown = answer.json
    assert (answer.status, shown["body"], shown["type"], shown["method"]) == (200, "hello", "http", "POST")
    assert shown["path"] == "/a/b/é"
    assert shown["raw_path"] == str(b"/a%2Fb/%C3%A9")
    assert shown["query_string"] == str(b"q=%20")
    assert shown["headers"].count("b'x-odd'") == 2
    assert "127.0.0.1" in shown["client"]
    assert shown["http_version"] == "1.1"


async def test_a_framework_runs_with_keep_alive_pipelining_and_head() -> None:
    async def echo(request: StarletteRequest) -> JSONResponse:
        return JSONResponse({"name": request.path_params["name"], "body": (await request.body()).decode()})

    app = Starlette(routes=[Route("/x/{name}", echo, methods=["GET", "POST"])])
    async with serve(mounted(app)) as front, connect(front) as client:
        await client.send(post(b"1", path="/x/a") + get("/x/b") + get("/x/c", method="HEAD") + get("/none"))
        assert (await client.answer()).json == {"name": "a", "body": "1"}
        assert (await client.answer()).json == {"name": "b", "body": ""}
        head = await client.answer(to_head=True)
        assert (head.status, head.headers["content-length"]) == (200, "22")
        assert (await client.answer()).status == 404


async def test_the_application_is_built_once_off_the_loop_and_when_first_asked_for() -> None:
    threads: list[threading.Thread] = []

    def build() -> AsgiApp:
        threads.append(threading.current_thread())
        return shows_scope

    bridge = AsgiBridge(build)
    async with serve(bridge.answer) as front:
        assert threads == []

        async def ask() -> int:
            async with connect(front) as client:
                return (await client.ask(get())).status

        assert await asyncio.gather(*(ask() for _ in range(5))) == [200] * 5
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_a_build_that_failed_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    builds: list[AsgiApp | None] = [None, shows_scope]

    def build() -> AsgiApp:
        app = builds.pop(0)
        if app is None:
            raise RuntimeError("a secret detail")
        return app

    async with serve(AsgiBridge(build).answer) as front, connect(front) as client:
        answer = await client.ask(get())
        assert (answer.status, answer.code) == (500, "internal_error")
        assert b"secret" not in answer.body
        assert (await client.ask(get())).status == 200
    assert "a secret detail" in caplog.text


async def test_a_stream_arrives_piece_by_piece_and_http_10_reads_to_the_close() -> None:
    go = asyncio.Queue[bytes]()

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await go.get():
            yield piece

    async def stream(_: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(pieces(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/", stream)])
    async with serve(mounted(app)) as front:
        async with connect(front) as client:
            await client.send(get())
            go.put_nowait(b"data: 1\n\n")
            status, headers = await client.head()
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert await client.chunk() == b"data: 1\n\n"
            go.put_nowait(b"data: 2\n\n")
            assert await client.chunk() == b"data: 2\n\n"
            go.put_nowait(b"")
            assert await client.chunk() == b""
        async with connect(front) as client:
            await client.send(get(version="1.0"))
            go.put_nowait(b"data: 3\n\n")
            go.put_nowait(b"")
            assert (await client.rest()).endswith(b"\r\n\r\ndata: 3\n\n")


async def test_a_stream_that_is_silent_ends_with_its_client(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def nothing() -> AsyncIterator[bytes]:
        try:
            yield b": hello\n\n"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def stream(_: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(nothing(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/", stream)])
    async with serve(mounted(app)) as front:
        async with connect(front) as client:
            await client.send(get())
            await client.head()
            await client.chunk()
        await asyncio.wait_for(ended.wait(), 20)
    assert caplog.records == []


async def test_a_departure_is_told_and_what_it_makes_the_application_raise_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[object] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001  ASGI's own
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        seen.append((await receive())["type"])
        seen.append((await receive())["type"])
        try:
            await send({"type": "http.response.body", "body": b"y"})
        except OSError as error:
            seen.append(error)
            raise

    async with serve(mounted(app)) as front:
        async with connect(front) as client:
            await client.send(get())
            await client.head()
            await client.chunk()
        await until(lambda: len(seen) == 3)
    assert seen[:2] == ["http.disconnect", "http.disconnect"]
    assert caplog.records == []


async def test_the_application_waits_while_its_client_is_slow() -> None:
    sent: list[int] = []
    piece = b"x" * 65_536

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001  ASGI's own
        await send(START)
        for number in range(200):
            sent.append(number)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async with serve(mounted(app)) as front, connect(front) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket
        await client.send(get())
        await until(lambda: len(sent) > 1)
        seen = 0
        while seen != len(sent):
            seen = len(sent)
            await asyncio.sleep(0.05)
        assert len(sent) < 200
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a transport of a socket
        answer = await client.answer()
        assert len(answer.body) == 200 * len(piece)


async def test_a_client_that_takes_nothing_is_cut_and_the_application_learns_it() -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001  ASGI's own
        await send(START)
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        finally:
            ended.set()

    limits = ServerLimits(write_seconds=5.0)
    async with serve(mounted(app), limits) as front, connect(front) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket
        await client.send(get())
        while not ended.is_set():
            await asyncio.sleep(0.01)
            front.later(6.0)


async def test_shutting_down_cancels_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    cancelled = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001  ASGI's own
        await send(START)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serve(mounted(app)) as front, connect(front) as client:
        await client.send(get())
        await client.head()
        await client.chunk()
        await front.tasks.close()
        assert cancelled.is_set()
        assert await client.rest() == b""
    assert caplog.records == []


def messages(*sent: Message) -> AsgiApp:
    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001  ASGI's own
        for message in sent:
            await send(message)

    return app


BODY: Message = {"type": "http.response.body", "body": b"abc"}
MORE: Message = {**BODY, "more_body": True}


@pytest.mark.parametrize(
    "sent",
    [
        (),
        (START,),
        (BODY,),
        (START, START),
        ({"type": "websocket.accept"},),
        ({**START, "status": 101},),
        ({**START, "status": 99},),
        ({**START, "headers": [(b"a", b"b\r\nSet-Cookie: x=y")]},),
        ({**START, "headers": [(b"a\n", b"b")]},),
        ({**START, "headers": [(b"", b"b")]},),
        ({**START, "headers": [(b"content-length", b"many")]}, BODY),
        ({"type": "http.response.start"}, BODY),
    ],
)
async def test_an_application_that_breaks_the_rules_is_a_500_without_detail(
    sent: tuple[Message, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(mounted(messages(*sent))) as front, connect(front) as client:
        answer = await client.ask(get())
        assert (answer.status, answer.code) == (500, "internal_error")
        assert b"Traceback" not in answer.body
        assert (await client.ask(get())).status == 500
    assert "failed" in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        (START, MORE),
        ({**START, "headers": [(b"content-length", b"5")]}, BODY),
        ({**START, "headers": [(b"content-length", b"2")]}, MORE, BODY),
        (START, MORE, START),
    ],
)
async def test_a_reply_that_goes_wrong_in_the_middle_is_cut(sent: tuple[Message, ...]) -> None:
    async with serve(mounted(messages(*sent))) as front, connect(front) as client:
        await client.send(get())
        assert not (await client.rest()).endswith(b"0\r\n\r\n")


async def test_an_error_after_the_end_is_logged_and_the_connection_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(mounted(messages(START, BODY, BODY))) as front, connect(front) as client:
        for _ in range(2):
            assert (await client.ask(get())).body == b"abc"
    assert caplog.records[0].levelno == logging.ERROR


async def test_head_takes_no_body_and_does_not_wait_for_a_stream_to_end() -> None:
    async def endless(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001  ASGI's own
        await send(START)
        while True:
            await send(MORE)

    async with serve(mounted(endless)) as front, connect(front) as client:
        for _ in range(2):
            await client.send(get(method="HEAD"))
            answer = await client.answer(to_head=True)
            assert answer.status == 200
    async with serve(mounted(messages(START, BODY))) as front, connect(front) as client:
        await client.send(get(method="HEAD"))
        assert (await client.answer(to_head=True)).headers["content-length"] == "3"


async def test_framing_and_identity_stay_the_servers_own() -> None:
    lies = [(b"Server", b"x"), (b"Transfer-Encoding", b"gzip"), (b"Connection", b"close"), (b"X-Mine", b"1")]
    async with serve(mounted(messages({**START, "headers": lies}, BODY))) as front, connect(front) as client:
        answer = await client.ask(get())
        assert answer.headers["server"] == "nexus"
        assert answer.headers["x-mine"] == "1"
        assert "transfer-encoding" not in answer.headers
        assert (await client.ask(get())).body == b"abc"


async def test_a_status_without_a_body_has_none() -> None:
    async with serve(mounted(messages({**START, "status": 204}, BODY))) as front, connect(front) as client:
        for _ in range(2):
            answer = await client.ask(get())
            assert (answer.status, answer.body) == (204, b"")
