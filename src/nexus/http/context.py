"""What all client connections of one server share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.utils import formatdate
from math import floor
from typing import TYPE_CHECKING, Any, Protocol

from nexus.errors import RequestError
from nexus.http.limits import ServerLimits
from nexus.http.reply import Reply, status_line
from nexus.http.request import Request
from nexus.tasks import Clock, DeadlineWatch, TaskOwner

if TYPE_CHECKING:
    from nexus.http.connection import ClientConnection


class Application(Protocol):
    """What a server serves."""

    def admit(self, head: Request) -> None:
        """Look at a complete head, before its body is taken and before ``100 Continue``.

        Raises:
            RequestError: the request ends with this answer, its body unread.
        """
        ...

    def handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None] | None:
        """Answer a complete request.

        Returns:
            None when the reply is sent already or will be sent from callbacks; else what sends
            it, which the server runs as one task.

        Raises:
            RequestError: the request ends with this answer; the coroutine may raise it too,
                until it has started the reply.
        """
        ...


class ServerContext:
    """State shared by the connections of one server.

    Attributes:
        buffered: request bytes held over all connections.
        draining: replies now end their connections.
        connections: every open one.
    """

    __slots__ = (
        "_heads",
        "_second",
        "app",
        "buffered",
        "clock",
        "connections",
        "draining",
        "limits",
        "refuse",
        "tasks",
        "watch",
    )

    def __init__(
        self,
        app: Application,
        limits: ServerLimits,
        clock: Clock,
        watch: DeadlineWatch,
        tasks: TaskOwner,
        refuse: Callable[[RequestError], bytes],
    ) -> None:
        self.app = app
        self.limits = limits
        self.clock = clock
        self.watch = watch
        self.tasks = tasks
        self.refuse = refuse
        self.buffered = 0
        self.draining = False
        self.connections: set[ClientConnection] = set()
        self._second = 0.0
        self._heads: dict[int, bytes] = {}

    def head_of(self, status: int) -> bytes:
        """The lines that every reply of this status begins with, made once a second."""
        now = self.clock.wall()
        if not self._second <= now < self._second + 1.0:
            self._second = float(floor(now))
            self._heads = {}
        head = self._heads.get(status)
        if head is None:
            head = self._heads[status] = status_line(status) + _server_and_date(self._second)
        return head


def _server_and_date(second: float) -> bytes:
    return f"Server: nexus\r\nDate: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
