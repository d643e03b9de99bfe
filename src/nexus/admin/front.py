"""``/admin`` as the front sees it: the door on the head alone, the application only when it is needed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from nexus.admin import session_page
from nexus.admin.door import AdminDoor
from nexus.admin.parts import AdminParts
from nexus.admin.sessions import Sessions
from nexus.errors import RequestTooLarge
from nexus.http.asgi import AsgiApp, AsgiBridge
from nexus.http.reply import Reply
from nexus.http.request import Request

BODY_BYTES: Final = 64 * 1024
EXPLAINED_BYTES: Final = 8 * 1024 * 1024
_EXPLAIN: Final = "/admin/explain"


class AdminApp:
    """Answers everything below ``/admin`` (an ``Application`` of ``http.server``).

    Args:
        parts: what can be seen and done.
        door: who may.
        sessions: who has shown the token in a browser.
    """

    __slots__ = ("_bridge", "_door", "_sessions", "live")

    def __init__(self, parts: AdminParts, door: AdminDoor, sessions: Sessions) -> None:
        def build() -> AsgiApp:
            # Starlette is paid for by the first who asks for it, not by every start.
            from nexus.admin.routes import make_app  # noqa: PLC0415

            return make_app(parts)

        self._door = door
        self._sessions = sessions
        self._bridge = AsgiBridge(build, scheme=door.scheme)
        self.live = parts.live

    def reconfigure(self, door: AdminDoor) -> None:
        """Let in by other rules from the next request on; sessions end with their token."""
        if (door.token, door.token_only) != (self._door.token, self._door.token_only):
            self._sessions.clear()
            self.live.dismiss()
        self._door = door

    def admit(self, head: Request) -> None:
        """Check the door and the announced size, before a body is taken.

        Raises:
            RequestError: the request is refused.
        """
        door = self._door
        door.check_place(head)
        if not (_is_session(head) or self._sessions.holds(session_page.cookies_of(head))):
            door.check_right(head)
        _check_size(head, head.length or 0)

    def handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None] | None:
        """Answer, or return the coroutine that does.

        Raises:
            RequestTooLarge: a body of unknown length turned out to be too long.
        """
        _check_size(request, len(request.body))
        if _is_session(request):
            session_page.answer(request, reply, self._door, self._sessions)
            return None
        return self._bridge.answer(request, reply)


def _is_session(request: Request) -> bool:
    return request.path.rstrip("/") == session_page.PATH


def _check_size(request: Request, size: int) -> None:
    limit = EXPLAINED_BYTES if request.path.rstrip("/") == _EXPLAIN else BODY_BYTES
    if size > limit:
        raise RequestTooLarge(f"A body for the administration has at most {limit} bytes here.")
