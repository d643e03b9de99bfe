"""A whole small reply in one value, for probes."""

from __future__ import annotations

import msgspec

from nexus.errors import ResponseTooLarge
from nexus.http.exchange import Flow
from nexus.protocol.headers import FieldNames, Header


class Fetched(msgspec.Struct, frozen=True):
    """A complete reply.

    Attributes:
        status: 200 to 599.
        headers: names as sent.
        body: without transfer coding.
    """

    status: int
    headers: list[Header]
    body: bytes


class Collector:
    """A :class:`~nexus.http.exchange.ResponseHandler` that keeps a reply of at most ``max_bytes``."""

    __slots__ = ("_body", "_flow", "_headers", "_left", "_limit", "_status")

    def __init__(self, max_bytes: int) -> None:
        self._limit = self._left = max_bytes
        self._body: list[bytes] = []
        self._headers: list[Header] = []
        self._status = 0
        self._flow: Flow | None = None

    def connected(self, flow: Flow) -> None:
        """See :meth:`~nexus.http.exchange.ResponseHandler.connected`."""
        self._flow = flow

    def head(self, status: int, headers: list[Header], names: FieldNames) -> None:  # noqa: ARG002  # the form of a handler
        """See :meth:`~nexus.http.exchange.ResponseHandler.head`."""
        self._status, self._headers = status, headers

    def data(self, chunk: bytes) -> None:
        """See :meth:`~nexus.http.exchange.ResponseHandler.data`."""
        self._left -= len(chunk)
        if self._flow is None:
            return
        if self._left < 0:
            self._flow.abort(ResponseTooLarge(f"a reply of more than {self._limit} bytes"))
        else:
            self._flow.first_byte()
            self._body.append(chunk)

    def fetched(self) -> Fetched:
        """The reply, once its exchange has ended."""
        return Fetched(self._status, self._headers, b"".join(self._body))
