"""Reading request heads: from a client's bytes to a :class:`Request` whose framing is certain.

Where a message begins and ends is decided here and in ``body``, never by the parser: the head
ends at the first empty line, the body has the announced length or is chunked. llhttp judges
every byte of the head and is given not one byte beyond it, so pipelined requests wait in plain
bytes, and an ``Upgrade`` (which llhttp takes as the end of HTTP) is simply not taken.

A client sends the same head with every request, but for the length of the body. A head that
differs from the one before in nothing else is read by comparing the two: the parser has judged
every other byte, and digits in place of digits change no verdict of its.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import Final

import httptools
import msgspec

from nexus.errors import HeadersTooLarge, InvalidRequest, UriTooLong
from nexus.http.limits import ServerLimits
from nexus.http.request import HTTP10, HTTP11, HeadMemo, Request
from nexus.protocol.headers import Header

_END: Final = b"\r\n\r\n"
_VERSIONS: Final = {b"HTTP/1.1": HTTP11, b"HTTP/1.0": HTTP10}
_KNOWN_LINE: Final = 128
_KNOWN_HEAD: Final = 4096
# Of a length; a parser's number overflows later.
_MOST_DIGITS: Final = 18
_LENGTH: Final = b"content-length"
_LENGTH_DIGITS: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class _KnownHead(msgspec.Struct, frozen=True):
    """A head that was read before.

    Attributes:
        head: its bytes.
        end: how many they are.
        digits: where the value of ``Content-Length`` is; empty at ``end`` without one.
        field: the place of ``Content-Length`` among the fields.
        request: what it was read as, without a body.
    """

    head: bytes
    end: int
    digits: tuple[int, int]
    field: int
    request: Request

    def read(self, data: bytes) -> Request | None:
        """Read the head of ``data``; None when it is another one."""
        head = data[: self.end]
        known = self.request
        headers, fields, length = known.headers, known.fields, known.length
        if head != self.head:
            start, stop = self.digits
            head = data[: data.find(_END, start, self.end + _MOST_DIGITS) + 4]
            digits = head[start : len(head) - self.end + stop]
            if head[:start] + self.head[start:stop] + head[start + len(digits) :] != self.head:
                return None
            if not digits.isdigit() or len(digits) > _MOST_DIGITS:
                return None
            headers = list(headers)
            headers[self.field] = (headers[self.field][0], digits)
            fields = {**fields, _LENGTH: digits}
            length = int(digits)
        return Request(
            known.method,
            known.path,
            known.query,
            known.version,
            headers,
            fields,
            known.keep_alive,
            known.expects_continue,
            length,
            b"",
            None,
            0.0,
            known.memo,
        )

    def end_of(self, request: Request) -> int:
        """How many bytes the head was of a request that :meth:`read` returned with another length."""
        start, stop = self.digits
        return self.end - (stop - start) + len(request.fields[_LENGTH])


def _known(head: bytes, request: Request, limits: ServerLimits) -> _KnownHead | None:
    """Remember a head, unless it is long: many of them would weigh, and more digits might be too many."""
    end = len(head)
    if end > _KNOWN_HEAD or end + _MOST_DIGITS > limits.head_bytes:
        return None
    # The request itself is about to hold a body, which goes with it.
    known = copy(request)
    if _LENGTH not in request.fields:
        return _KnownHead(head, end, (end, end), 0, known)
    found = _LENGTH_DIGITS.search(head)
    if found is None or len(request.fields) != len(request.headers):
        return None
    return _KnownHead(head, end, found.span(1), list(request.fields).index(_LENGTH), known)


class HeadReader:
    """Reads the heads of one connection, one after another.

    Attributes:
        end: after :meth:`read` returned a request, the length of its head.
        body_due: the parser waits for the body of a head that it read, see :meth:`passed`.
    """

    __slots__ = ("_fed", "_headers", "_known", "_limits", "_over", "_parser", "body_due", "end")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._parser: httptools.HttpRequestParser | None = None
        self._known: _KnownHead | None = None
        self._headers: list[Header] = []
        self._over = False
        self.body_due = False
        self._fed = 0
        self.end = 0

    def read(self, data: bytes) -> Request | None:
        """Read the head that ``data`` begins with.

        Args:
            data: everything received since the previous message; after a None, the same bytes
                and what has come since.

        Returns:
            The request without its body, or None when the head is not complete yet. The reader
            is then ready for the next message.

        Raises:
            InvalidRequest, UriTooLong, HeadersTooLarge: the connection cannot be read further.
        """
        known, fed = self._known, self._fed
        if known is not None and not fed:
            request = known.read(data)
            if request is not None:
                self.end = known.end if request.fields is known.request.fields else known.end_of(request)
                if self.body_due:
                    # It waits for the body of an earlier head; what comes now is none.
                    self._parser = None
                    self.body_due = False
                return request
        found = data.find(_END, fed - 3 if fed > 3 else 0)
        self.end = found + 4 if found >= 0 else len(data)
        if self.end > self._limits.request_line:
            self._check_size(data)
        self._parse(data[fed : self.end])
        if self._over is not (found >= 0):
            raise InvalidRequest("The request is not valid HTTP: bad line ending.")
        if found < 0:
            self._fed = self.end
            return None
        headers = self._headers
        if len(headers) > self._limits.fields:
            raise HeadersTooLarge(f"The request has more than {self._limits.fields} header fields.")
        request = _request(data[: data.find(b"\r\n")], headers)
        self._known = _known(data[: self.end], request, self._limits)
        self._headers = []
        self._over = False
        self._fed = 0
        self.body_due = request.length != 0
        return request

    def passed(self, body: bytes) -> None:
        """Be told of a whole body of announced length: the parser then serves for the next head too."""
        if self.body_due and self._parser is not None:
            self._parser.feed_data(body)
            self.body_due = False

    def release(self) -> None:
        """Let go of the parser, which refers back: nothing is read any more."""
        self._parser = None

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None or self.body_due:
            parser = self._parser = httptools.HttpRequestParser(self)
            self.body_due = False
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows is HTTP to us, but not to this parser.
            self._parser = None
        except httptools.HttpParserError as error:
            raise InvalidRequest(f"The request is not valid HTTP: {error}.") from error

    def _check_size(self, data: bytes) -> None:
        limits = self._limits
        line = data.find(b"\r\n", 0, limits.request_line + 2)
        if line < 0:
            raise UriTooLong(f"The request line is longer than {limits.request_line} bytes.")
        if self.end > limits.head_bytes:
            raise HeadersTooLarge(f"The request's header fields are larger than {limits.head_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self._over:
            raise InvalidRequest("a second head where the first one ends")
        self._over = True


def _by_name(headers: list[Header]) -> dict[bytes, bytes]:
    """Values by lower-case name; repeated fields are joined (RFC 9110 5.3)."""
    fields = {name.lower(): value for name, value in headers}
    if len(fields) != len(headers):
        fields = {}
        for name, value in headers:
            lower = name.lower()
            fields[lower] = fields[lower] + b", " + value if lower in fields else value
    return fields


def _request(line: bytes, headers: list[Header]) -> Request:
    fields = _by_name(headers)
    method, path, query, version = (_read_known_line if len(line) < _KNOWN_LINE else _read_line)(line)
    request = Request(method, path, query, version, headers, fields, memo=HeadMemo())
    host = fields.get(b"host")
    if (host is None and version == (1, 1)) or (host is not None and b"," in host):
        raise InvalidRequest("The request must have exactly one Host header.")
    connection = fields.get(b"connection")
    if connection is not None or version == (1, 0):
        request.keep_alive = _keeps_alive(version, connection or b"")
    expect = fields.get(b"expect")
    if expect is not None:
        request.expects_continue = version == (1, 1) and expect.lower() == b"100-continue"
    request.length = _length(version, fields)
    return request


def _read_line(line: bytes) -> tuple[str, str, str, tuple[int, int]]:
    """Method, path, query and version of a request line that llhttp has let pass."""
    try:
        method, target, version_name = line.split(b" ")
        version = _VERSIONS[version_name]
    except (ValueError, KeyError):
        raise InvalidRequest("The request line must be: method, target, HTTP/1.1 or HTTP/1.0.") from None
    path, _, query = _path(target).partition("?")
    return method.decode("ascii"), path, query, version


# Clients send few different request lines.
_read_known_line: Final = lru_cache(maxsize=256)(_read_line)


def _path(target: bytes) -> str:
    """The origin form of a target (RFC 9112 3.2); proxies' absolute form loses its authority."""
    text = target.decode("latin-1")
    if text.startswith("/") or text == "*":
        return text
    authority = _AUTHORITY.match(text)
    if authority is None:
        raise InvalidRequest("The request target must be a path.")
    rest = text[authority.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _keeps_alive(version: tuple[int, int], connection: bytes) -> bool:
    options = [option.strip() for option in connection.lower().split(b",")]
    return b"close" not in options and (version == (1, 1) or b"keep-alive" in options)


def _length(version: tuple[int, int], fields: Mapping[bytes, bytes]) -> int | None:
    """Bytes of body; None when chunked (RFC 9112 6.3, refusing what it lets a server refuse)."""
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if coding is None:
        if length is None:
            return 0
        if not length.isdigit() or len(length) > 19:
            raise InvalidRequest("Content-Length must be one number.")
        return int(length)
    if length is not None:
        raise InvalidRequest("A request cannot have both Content-Length and Transfer-Encoding.")
    if coding.lower() != b"chunked" or version == (1, 0):
        raise InvalidRequest("The only Transfer-Encoding of a request is chunked, in HTTP/1.1.")
    return None
