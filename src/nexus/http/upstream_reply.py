r"""The replies of one upstream connection, read by llhttp one after the other.

Law held here: where a reply ends is decided from its head, never by looking for bytes (a head may
well end in ``0\r\n\r\n``).
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

import httptools

from nexus.domain import Origin
from nexus.errors import UpstreamProtocolError
from nexus.http.exchange import ResponseHandler
from nexus.http.framing import LASTING, Framing, read_framing
from nexus.http.known_reply import MISSES, KnownReply, known_reply
from nexus.http.limits import UpstreamLimits
from nexus.protocol.headers import NO_NAMES, Header, field_names

# Replies that have no body by definition, and those that answer a POST with nothing.
_BODILESS: Final = frozenset((204, 304))
_EMPTY: Final = frozenset((204, 205))
_NAME: Final = itemgetter(0)


class UpstreamReply:
    """Parses what arrives and tells it to the handler of the running exchange.

    A connection is one of these and feeds itself, rather than having one: every byte passes here.

    Attributes:
        origin: whose replies these are.
        framing: how the running reply is delimited, once its head is whole.
        complete: its last byte has come.
        overlong: bytes came that belong to no reply.

    Args:
        origin: whose replies these are.
        limits: bytes and fields of a head.
    """

    __slots__ = (
        "_begun",
        "_feed",
        "_handler",
        "_headers",
        "_http11",
        "_known",
        "_limits",
        "_method",
        "_misses",
        "_names",
        "_parser",
        "_silent",
        "_told",
        "complete",
        "framing",
        "origin",
        "overlong",
    )

    def __init__(self, origin: Origin, limits: UpstreamLimits) -> None:
        self.origin = origin
        self._limits = limits
        # Parsers have no types; None once nothing is fed any more.
        self._parser: Any = httptools.HttpResponseParser(self)
        self._feed: Any = self._parser.feed_data
        self._handler: ResponseHandler | None = None
        self._headers: list[Header] = []
        self._method = ""
        # Those of the last reply: a server sends the same ones each time.
        self._names = NO_NAMES
        self._known: KnownReply | None = None
        self._misses = 0
        # The headers of the running reply, if it is a success.
        self._told: list[Header] | None = None
        self._begun = False
        self._http11 = False
        # Bytes since the last one of a body: heads, chunk framing and trailers are bounded by it.
        self._silent = 0
        self.framing: Framing | None = None
        self.complete = False
        self.overlong = False

    def release(self) -> None:
        """Let go of the parser, which refers back: nothing is fed any more."""
        self._handler = None
        self._parser = self._feed = None

    def feed(self, data: bytes) -> None:
        """Read what arrived.

        Raises:
            HttpParserError: it is no reply, or the handler raised an error while the parser told it.
        """
        if self._begun:
            self._feed(data)
            return
        self._begun = True
        self._http11 = data[:9] == b"HTTP/1.1 "
        if self._known is None or not self._tell_known(self._known, data):
            self._feed(data)
            if self.complete and self.framing is LASTING and not self.overlong:
                self._remember(data)

    def _tell_known(self, known: KnownReply, data: bytes) -> bool:
        """Tell a whole reply that is like the last one; False when the parser has to read it."""
        handler, found = self._handler, known.read(data)
        if found is None or handler is None:
            return False
        headers, body = found
        self._misses = 0
        self.framing = LASTING
        self.complete = True
        handler.head(200, headers, known.names)
        if body and self._handler is not None:
            self._handler.data(body)
        return True

    def _remember(self, data: bytes) -> None:
        """Know again what was just read from ``data``; a server whose heads are never alike is let be."""
        told = self._told
        self._misses += 1
        self._known = None
        if told is not None and self._misses <= MISSES:
            self._known = known_reply(data, told, self._names)

    def too_much(self) -> UpstreamProtocolError:
        """The error of a head, or of chunk framing, without end."""
        return UpstreamProtocolError(
            f"{self.origin} sent more than {self._limits.head_bytes} bytes of head or chunk framing"
        )

    def explained(self, error: httptools.HttpParserError) -> BaseException:
        """What ends the exchange after the parser failed: a protocol error, or the handler's own."""
        if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
            return error.__context__
        explained = UpstreamProtocolError(f"{self.origin} sent bytes that are not HTTP/1.1: {error}")
        explained.__cause__ = error
        return explained

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """A status line starts; after the end of the reply it is one too many."""
        if self.complete:
            self.overlong = True
            return
        self._headers = []
        self.framing = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of the trailers, which nobody reads."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: tell it, unless it is informational (RFC 9110 15.2)."""
        handler, parser = self._handler, self._parser
        if self.complete or handler is None:
            return
        status = parser.get_status_code()
        headers, method = self._headers, self._method
        self._headers = []
        if status != 200:
            if status < 200 and (status >= 102 or status == 100):
                self._http11 = False
                return
            if not 200 <= status <= 599 or (method == "POST" and status in _EMPTY):
                raise UpstreamProtocolError(f"{self.origin} answered with the impossible status {status}")
        if len(headers) > self._limits.fields:
            raise UpstreamProtocolError(f"{self.origin} sent more than {self._limits.fields} fields")
        given, names = list(map(_NAME, headers)), self._names
        if given != names.names:
            names = self._names = field_names(tuple(given))
        lasting = parser.should_keep_alive()
        if names.lasting and lasting and self._http11:
            self.framing = LASTING
        else:
            bodiless = status in _BODILESS or method == "HEAD"
            # Asking the parser for the version costs as much as all else here: most replies show it.
            version = "1.1" if self._http11 else parser.get_http_version()
            self.framing = read_framing(headers, version, bodiless=bodiless, lasting=lasting)
        self._told = headers if status == 200 else None
        handler.head(status, headers, names)
        if method == "HEAD":
            # llhttp does not know the request and would wait for a body: no reuse after this.
            self.complete = self.overlong = True

    def on_body(self, data: bytes) -> None:
        """Bytes of the body, without chunk framing."""
        self._silent = 0
        if self.complete:
            self.overlong = True
        elif self._handler is not None:
            self._handler.data(data)

    def on_message_complete(self) -> None:
        """The end by length or last chunk; also that of a 1xx, which has no framing."""
        if self.framing is not None:
            self.complete = True
