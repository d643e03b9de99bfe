"""``/admin`` as the front sees it: the door on the head alone, the application only when it is needed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from nexus.admin.door import AdminDoor
from nexus.admin.operations import Operations
from nexus.errors import RequestTooLarge
from nexus.http.asgi import AsgiApp, AsgiBridge
from nexus.http.reply import Reply
from nexus.http.request import Request

BODY_BYTES: Final = 64 * 1024


class AdminApp:
    """Answers everything below ``/admin`` (an ``Application`` of ``http.server``).

    Args:
        operations: what can be done.
        door: who may do it.
    """

    __slots__ = ("_bridge", "_door")

    def __init__(self, operations: Operations, door: AdminDoor) -> None:
        def build() -> AsgiApp:
            # Starlette is paid for by the first who asks for it, not by every start.
            from nexus.admin.routes import make_app  # noqa: PLC0415

            return make_app(operations)

        self._door = door
        self._bridge = AsgiBridge(build, scheme=door.scheme)

    def reconfigure(self, door: AdminDoor) -> None:
        """Let in by other rules from the next request on."""
        self._door = door

    def admit(self, head: Request) -> None:
        """Check the door and the announced size, before a body is taken.

        Raises:
            RequestError: the request is refused.
        """
        self._door.check(head)
        _check_size(head.length or 0)

    def handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None]:
        """Return the coroutine that answers.

        Raises:
            RequestTooLarge: a body of unknown length turned out to be too long.
        """
        _check_size(len(request.body))
        return self._bridge.answer(request, reply)


def _check_size(size: int) -> None:
    if size > BODY_BYTES:
        raise RequestTooLarge(f"A body for the administration has at most {BODY_BYTES} bytes.")
