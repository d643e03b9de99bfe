"""``/admin/session``: how a browser that cannot send a header of its own shows the token, once."""

from __future__ import annotations

from typing import Final

import msgspec

from nexus import __version__
from nexus.admin.door import AdminDoor
from nexus.admin.sessions import Sessions
from nexus.errors import InvalidApiKey, InvalidRequest, MethodNotAllowed, RequestError, UnsupportedMediaType
from nexus.http.reply import Reply
from nexus.http.request import Request
from nexus.protocol.error_body import render
from nexus.protocol.headers import Header

PATH: Final = "/admin/session"
_HEAD: Final[tuple[Header, ...]] = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
_METHODS: Final = "GET, POST, DELETE"


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    token: str


def answer(request: Request, reply: Reply, door: AdminDoor, sessions: Sessions) -> None:
    """Say whether the reader is let in, let it in by its token, or send it away."""
    secure = door.scheme == "https"
    cookies = cookies_of(request)
    try:
        if request.method in ("GET", "HEAD"):
            needs_token = not door.is_open_to(request)
            known = not needs_token or sessions.holds(cookies)
            # Where there is no token to show, asking for one would help nobody.
            asks = needs_token and door.token is not None
            body = {"authenticated": known, "needs_token": asks, "version": __version__}
            reply.send(200, list(_HEAD), msgspec.json.encode(body))
        elif request.method == "POST":
            _check(request, door)
            cookie = sessions.open(secure=secure)
            reply.send(204, [_HEAD[1], (b"Set-Cookie", cookie.encode())], b"")
        elif request.method == "DELETE":
            cookie = sessions.close(cookies, secure=secure)
            reply.send(204, [_HEAD[1], (b"Set-Cookie", cookie.encode())], b"")
        else:
            raise MethodNotAllowed(f"Use {_METHODS} on '{PATH}'.", headers=(("Allow", _METHODS),))
    except RequestError as error:
        own = [(name.encode(), value.encode()) for name, value in error.headers]
        reply.send(error.status, [*_HEAD, *own], render(error))


def cookies_of(request: Request) -> str:
    """Return the ``Cookie`` header of a request, or nothing."""
    return request.fields.get(b"cookie", b"").decode("latin-1")


def _check(request: Request, door: AdminDoor) -> None:
    kind = request.fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise UnsupportedMediaType("Send JSON, with 'Content-Type: application/json'.")
    try:
        login = msgspec.json.decode(request.body, type=_Login)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest('Send {"token": "..."}.', param="token") from None
    if door.token is None:
        if not door.is_open_to(request):
            door.check_right(request)
        return
    if not door.token.matches(login.token):
        raise InvalidApiKey("This is not the administration's token.")
