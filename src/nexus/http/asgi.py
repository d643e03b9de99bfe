"""Mounting an ASGI application: one HTTP request and its reply, by the ASGI specification 3.0.

What the application gets is ``http`` only: no ``lifespan`` (it is built when it is first asked
for and holds nothing that must be ended) and no ``websocket``. The body comes as one message,
because the connection has taken all of it before anybody is asked to answer.

Laws held here: the application runs inside the request's own task and is cancelled with it; it
waits while the client is slow; it learns that the client has left in the words of ASGI, and what
it raises because of that is nobody's error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from nexus.http.reply import Reply
from nexus.http.request import Request
from nexus.protocol.headers import Header

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# With 2.3 frameworks watch for ``http.disconnect`` while they stream: a silent stream ends with its
# client, too, instead of at its next event.
_SPEC: Final = {"version": "3.0", "spec_version": "2.3"}
_OURS: Final = frozenset({
    b"server", b"date", b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"upgrade",
    b"proxy-connection", b"te", b"trailer",
})  # fmt: skip
_BREAKS: Final = frozenset(b"\r\n\0")


class AsgiBridge:
    """Answers requests with an ASGI application that is built when it is first needed.

    Args:
        build: imports and makes the application; called once, on another thread, so that
            requests that run meanwhile do not wait for the import.
        scheme: ``http`` or ``https``, for the scope.
    """

    __slots__ = ("_app", "_build", "_building", "_scheme")

    def __init__(self, build: Callable[[], AsgiApp], *, scheme: str = "http") -> None:
        self._build = build
        self._scheme = scheme
        self._app: AsgiApp | None = None
        self._building = asyncio.Lock()

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer one request: the coroutine of an ``Application``.

        Args:
            request: complete, with its body.
            reply: not started.

        Raises:
            Exception: what the application raised while its client was there; the server logs it
                and answers 500, or cuts a reply that has begun.
        """
        run = _Run(request, reply)
        try:
            app = self._app or await self._built()
            await app(_scope(request, self._scheme), run.receive, run.send)
        except asyncio.CancelledError:
            reply.abort()
            raise
        except Exception:
            if run.gone:
                return
            raise
        if run.gone or reply.ended:
            return
        if not reply.started:
            raise RuntimeError("the ASGI application returned without a response")
        reply.abort()

    async def _built(self) -> AsgiApp:
        async with self._building:
            if self._app is None:
                self._app = await asyncio.to_thread(self._build)
            return self._app


class _Run:
    """One request's two channels.

    Attributes:
        begun: ``http.response.start`` was sent.
        gone: the client left before the reply was complete.
    """

    __slots__ = ("_announced", "_body", "_ended", "_head", "_reply", "_silent", "_writable", "begun", "gone")

    def __init__(self, request: Request, reply: Reply) -> None:
        self._reply = reply
        self._body: bytes | None = request.body
        self._silent = request.method == "HEAD"
        self._head: tuple[int, list[Header]] = (500, [])
        self._announced: int | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = asyncio.Event()
        self.begun = False
        self.gone = reply.departed
        reply.watcher = reply.source = self

    async def receive(self) -> Message:
        """The body, once; then, when there is nobody or nothing left to answer, ``http.disconnect``."""
        if self._body is not None and not self.gone:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not self.gone:
            await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the response; returns when the client may get more.

        Raises:
            OSError: the client has left.
            RuntimeError: the application broke the order or the syntax of a response.
        """
        if self.gone:
            raise OSError("the client has left")
        kind = message["type"]
        if kind == "http.response.start":
            self._start(message)
        elif kind == "http.response.body":
            await self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"a message of type {kind!r} is no part of an HTTP response")

    def _start(self, message: Message) -> None:
        if self.begun:
            raise RuntimeError("the response was started before")
        status = message["status"]
        if not 200 <= status <= 599:
            raise RuntimeError(f"{status} is no final status")
        self._head = (status, list(self._checked(message.get("headers", ()))))
        self.begun = True

    def _checked(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[Header]:
        """Leave out what the connection says itself; a line break would begin a header of somebody else."""
        for name, value in headers:
            if not name or _BREAKS.intersection(name) or _BREAKS.intersection(value):
                raise RuntimeError("a header of the response holds a line break or has no name")
            lower = name.lower()
            if lower == b"content-length":
                self._announced = int(value)
            elif lower not in _OURS:
                yield bytes(name), bytes(value)

    async def _write(self, body: bytes, *, more: bool) -> None:
        if not self.begun or self._ended.is_set():
            raise RuntimeError("a response's body comes after its start and before its end")
        reply = self._reply
        if not reply.started:
            length = self._announced
            if length is None and not more and (body or not self._silent):
                length = len(body)
            status, headers = self._head
            reply.start(status, headers, length)
        if self._silent:
            # The rest of what HEAD asks about is for nobody, as if its reader had left.
            self.gone = more
        elif body or more:
            reply.write(body)
        if not more or self._silent:
            self._ended.set()
            reply.end()
            return
        await self._writable.wait()
        if self.gone:
            raise OSError("the client has left")

    def departed(self) -> None:
        """The client has left: end what the application waits for."""
        self.gone = True
        self._ended.set()
        self._writable.set()

    def stalled(self) -> None:
        """The client takes nothing and is cut."""
        self.departed()

    def pause(self) -> None:
        """Let the application wait in its next :meth:`send`."""
        self._writable.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._writable.set()


def _scope(request: Request, scheme: str) -> MutableMapping[str, Any]:
    return {
        "type": "http",
        "asgi": dict(_SPEC),
        "http_version": f"{request.version[0]}.{request.version[1]}",
        "method": request.method,
        "scheme": scheme,
        "path": unquote(request.path, errors="replace"),
        "raw_path": request.path.encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers],
        "client": None if request.peer is None else (request.peer, 0),
        "server": None,
        "extensions": {},
    }
