"""One client request, as the application sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from nexus.protocol.headers import Header

HTTP10: Final = (1, 0)
HTTP11: Final = (1, 1)


class HeadMemo:
    """What an application found out about a head; requests that repeat it to the byte share one.

    Attributes:
        passed: whatever the head was admitted by.
    """

    __slots__ = ("passed",)

    def __init__(self) -> None:
        self.passed: object | None = None


class Request(msgspec.Struct, eq=False):
    """A request's head and, once it is complete, its body.

    Attributes:
        method: as sent, upper case.
        path: the target without its query, percent-encoding kept.
        query: what follows the first ``?``; empty without one.
        version: ``(1, 0)`` or ``(1, 1)``.
        headers: in the order and spelling in which they came.
        fields: values by lower-case name; repeated fields are joined by ``, `` (RFC 9110 5.3).
        keep_alive: whether the client lets its connection be used again.
        expects_continue: whether the client waits for ``100 Continue`` (RFC 9110 10.1.1).
        length: bytes of body that the head announces; None for a chunked body.
        body: the whole body; empty while the application is asked to admit the head.
        peer: the client's IP address, if the socket has one.
        received_at: monotonic seconds at which the message was complete.
        memo: shared by the requests of one connection that differ in their bodies at most.
    """

    method: str
    path: str
    query: str
    version: tuple[int, int]
    headers: Sequence[Header]
    fields: Mapping[bytes, bytes]
    keep_alive: bool = True
    expects_continue: bool = False
    length: int | None = 0
    body: bytes = b""
    peer: str | None = None
    received_at: float = 0.0
    memo: HeadMemo | None = None

    def __repr__(self) -> str:
        # Its headers, query and body may hold credentials, and a traceback may hold this.
        return f"Request({self.method!r}, {self.path!r})"

    def header(self, name: bytes) -> bytes | None:
        """A field's value by its lower-case name; repeated fields are joined by ``, `` (RFC 9110 5.3)."""
        return self.fields.get(name)
