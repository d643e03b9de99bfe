"""One client request, as the application sees it."""

from __future__ import annotations

from nexus.protocol.headers import Header


class Request:
    """A request's head and, once it is complete, its body.

    Attributes:
        method: as sent, upper case.
        path: the target without its query, percent-encoding kept.
        query: what follows the first ``?``; empty without one.
        version: ``(1, 0)`` or ``(1, 1)``.
        headers: in the order and spelling in which they came.
        fields: values by lower-case name; repeated fields are joined by ``, `` (RFC 9110 5.3).
        body: the whole body; empty while the application is asked to admit the head.
        peer: the client's IP address, if the socket has one.
        received_at: monotonic seconds at which the message was complete.
        keep_alive: whether the client lets its connection be used again.
        expects_continue: whether the client waits for ``100 Continue`` (RFC 9110 10.1.1).
        length: bytes of body that the head announces; None for a chunked body.
    """

    __slots__ = (
        "body",
        "expects_continue",
        "fields",
        "headers",
        "keep_alive",
        "length",
        "method",
        "path",
        "peer",
        "query",
        "received_at",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        version: tuple[int, int],
        headers: list[Header],
        fields: dict[bytes, bytes],
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers
        self.fields = fields
        self.body = b""
        self.peer: str | None = None
        self.received_at = 0.0
        self.keep_alive = True
        self.expects_continue = False
        self.length: int | None = 0

    def header(self, name: bytes) -> bytes | None:
        """A field's value by its lower-case name; repeated fields are joined by ``, `` (RFC 9110 5.3)."""
        return self.fields.get(name)
