"""Reading request bodies: where they end, and whole in memory.

Both readers have the same shape. ``feed`` takes received bytes and returns None while the body
goes on, and what follows the body once it is complete; ``size`` is what they hold.
"""

from __future__ import annotations

from typing import Final, Protocol

import httptools

from nexus.errors import HeadersTooLarge, InvalidRequest, RequestTooLarge
from nexus.http.limits import ServerLimits

_LINE_BYTES: Final = 8 * 1024
_CHUNKED_HEAD: Final = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class BodyReader(Protocol):
    """A body that is arriving."""

    size: int

    def feed(self, data: bytes) -> bytes | None:
        """Take ``data``; return the bytes after the body's end, or None while there is none."""
        ...

    def whole(self) -> bytes:
        """The complete body."""
        ...


def too_large(limits: ServerLimits) -> RequestTooLarge:
    """The refusal of a body over the limit."""
    return RequestTooLarge(f"The request body is larger than {limits.body_bytes} bytes.")


class SizedBody:
    """A body whose length the head announced."""

    __slots__ = ("_body", "_length", "size")

    def __init__(self, length: int) -> None:
        self._length = length
        self._body = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> bytes | None:
        """See :class:`BodyReader`."""
        missing = self._length - self.size
        if len(data) < missing:
            self._body += data
            self.size += len(data)
            return None
        self._body += data[:missing]
        self.size = self._length
        return data[missing:]

    def whole(self) -> bytes:
        """See :class:`BodyReader`."""
        return bytes(self._body)


class ChunkedBody:
    """A chunked body (RFC 9112 7.1); extensions and trailers are read and dropped.

    llhttp judges every byte. It is fed line by line and chunk by chunk, since it does not tell
    where in its input a message ended: what follows the last line is the next request's.
    """

    __slots__ = ("_body", "_framing", "_limits", "_over", "_parser", "_rest", "_trailers", "_want", "size")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._body = bytearray()
        self._rest = b""
        self._want = 0
        self._trailers = False
        self._framing = 0
        self._over = False
        self.size = 0
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def feed(self, data: bytes) -> bytes | None:
        """See :class:`BodyReader`.

        Raises:
            InvalidRequest: the framing is broken.
            RequestTooLarge: the body, or its framing, is over the limit.
            HeadersTooLarge: the trailers are over the limit of a head.
        """
        data = self._rest + data if self._rest else data
        at = 0
        try:
            while not self._over:
                end = self._piece(data, at)
                if end == at:
                    self._rest = data[at:]
                    return None
                self._parser.feed_data(data[at:end])
                at = end
        except httptools.HttpParserError as error:
            raise InvalidRequest(f"The chunked body is not valid: {error}.") from error
        self._rest = b""
        return data[at:]

    def whole(self) -> bytes:
        """See :class:`BodyReader`."""
        return bytes(self._body)

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self._body += data
        self.size += len(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._over = True

    def _piece(self, data: bytes, at: int) -> int:
        """End of the next piece to feed: of a chunk what is there, of a line all or nothing."""
        if self._want:
            end = min(at + self._want, len(data))
            self._want -= end - at
            return end
        end = data.find(b"\n", at, at + _LINE_BYTES) + 1
        if not end:
            if len(data) - at >= _LINE_BYTES:
                raise InvalidRequest("The chunked body is not valid: a line is too long.")
            return at
        self._framing += end - at
        if self._trailers:
            if self._framing > self._limits.head_bytes:
                raise HeadersTooLarge(f"The trailers are larger than {self._limits.head_bytes} bytes.")
        else:
            self._begin_chunk(data[at:end])
        return end

    def _begin_chunk(self, line: bytes) -> None:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise InvalidRequest("The chunked body is not valid: bad chunk size.") from None
        limit = self._limits.body_bytes
        if self.size + size > limit or self._framing > limit + _LINE_BYTES:
            raise too_large(self._limits)
        if size:
            # The line break after a chunk is taken with it.
            self._want = size + 2
        else:
            self._trailers = True
            self._framing = 0
