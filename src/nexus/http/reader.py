"""From the bytes of one connection to its requests, without I/O.

Requests are taken one at a time: what is not asked for stays as plain bytes, so a client that
pipelines is answered in order, and nothing is parsed that the connection is not ready to answer.
"""

from __future__ import annotations

from nexus.http.body import BodyReader, ChunkedBody, SizedBody
from nexus.http.head import HeadReader
from nexus.http.limits import ServerLimits
from nexus.http.request import Request


class RequestReader:
    """Holds what a client has sent and gives it out head by head and body by body.

    Attributes:
        pending: bytes that are not read yet; what arrives is added to them.
        partial: bytes held of a body that is not complete.
    """

    __slots__ = ("_body", "_head", "_limits", "partial", "pending")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._head = HeadReader(limits)
        self._body: BodyReader | None = None
        self.pending = b""
        self.partial = 0

    def next_head(self) -> Request | None:
        """Take the next head.

        Returns:
            The request without its body, or None when the head is not complete.

        Raises:
            InvalidRequest, UriTooLong, HeadersTooLarge: the connection cannot be read further.
        """
        data = self.pending
        if not data:
            return None
        if data[0] in b"\r\n":
            # Empty lines before a request are ignored (RFC 9112 2.2).
            data = self.pending = data.lstrip(b"\r\n")
            if not data:
                return None
        request = self._head.read(data)
        if request is not None:
            self.pending = data[self._head.end :]
        return request

    def take_body(self, request: Request) -> bool:
        """Take what is here of ``request``'s body; True once it is complete and in the request.

        Raises:
            InvalidRequest, HeadersTooLarge, RequestTooLarge: of a chunked body.
        """
        length, pending = request.length, self.pending
        if length == 0:
            return True
        body = self._body
        if body is None:
            if length is not None and length <= len(pending):
                request.body = pending[:length]
                self.pending = pending[length:]
                if self._head.body_due:
                    self._head.passed(request.body)
                return True
            body = self._body = ChunkedBody(self._limits) if length is None else SizedBody(length)
        self.pending = b""
        rest = body.feed(pending)
        if rest is None:
            self.partial = body.size
            return False
        self.pending = rest
        request.body = body.whole()
        self._body = None
        self.partial = 0
        return True

    def skip_body(self, request: Request) -> bool:
        """Drop a refused request's body; False when it is not all here."""
        length = request.length
        if length is None or length > len(self.pending):
            return False
        self.pending = self.pending[length:]
        return True

    def drop(self) -> None:
        """Forget everything: nothing is read any more."""
        self._head.release()
        self.pending = b""
        self._body = None
        self.partial = 0
