"""Reads error replies: whose fault, what to learn, whether another backend may do better.

Words decide before statuses, since the same trouble comes as 400, 404, 422, 500 or 501 by server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.backends.base import ErrorReading
from nexus.backends.wordings import COMMON, Word, Words
from nexus.domain import FailureKind
from nexus.protocol.error_body import parse, quote
from nexus.protocol.headers import Header, find

_READ_CHARS: Final = 4096


_NO_PATH: Final = re.compile(
    r"(?:not found|404 page not found|405 method not allowed|method not allowed|file not found"
    r"|404 not found|an html page|resource not found|not implemented)?\W*"
)
_NO_PATH_WORDS: Final = re.compile(
    r"unexpected endpoint or method|invalid url|unknown_url|cannot (?:get|post) /|no route"
    r"|no such (?:path|route|endpoint)"
    r"|(?:path|route|endpoint|url) (?:\S{0,200} )?(?:was |does )?not (?:found|exist)"
)
_QUOTED: Final = re.compile(r"""(?<!\w)(['"`])(?:(?!\1).){0,300}\1""")
_LOADING: Final = re.compile(r"\bloading\b|\bstarting\b|warming up|not ready|initiali[sz]ing", re.IGNORECASE)
_LIMITS: Final = (
    re.compile(r"> ?([\d,]{1,13}) maximum"),
    re.compile(r"with ([\d,]{1,13}) maximum context"),
    re.compile(
        r"(?:context (?:length|size|window)|maximum allowed length|max_model_len|number of tokens allowed)"
        r"(?: is| of| only|=|:| ){0,4}\(?([\d,]{1,13})"
    ),
    re.compile(r"must be <= ([\d,]{1,13})"),
)

_USER_INFO: Final = re.compile(r"//[^/?#]*@")

_PLAIN: Final = {
    401: FailureKind.CREDENTIALS,
    402: FailureKind.BILLING,
    408: FailureKind.TRY_AGAIN,
    425: FailureKind.TRY_AGAIN,
    508: FailureKind.LOOP,
}
"""Statuses that no wording changes."""

_PRESSED: Final = {
    403: frozenset({FailureKind.BILLING, FailureKind.MISSING_CAPABILITY}),
    429: frozenset({FailureKind.BILLING}),
    503: frozenset({FailureKind.BILLING}),
    529: frozenset({FailureKind.BILLING}),
}
"""Statuses whose meaning few words change."""

_BY_TYPE: Final = {
    "authentication_error": 401,
    "billing_error": 402,
    "rate_limit_error": 429,
    "unavailable_error": 503,
    "overloaded_error": 529,
    "overloaded": 529,
}
"""What an error inside a 200 would have been as a status of its own."""


class _Seen(msgspec.Struct, frozen=True):
    """One error reply in the form that the rules read."""

    status: int
    said: str
    words: str
    payload: shapes.Row
    surface: str
    request: bytes

    def reading(self, kind: FailureKind, learns: str | None = None) -> ErrorReading:
        """Make the result, with the message that people read."""
        if learns == "surface":
            learns = f"surface:{self.surface}" if self.surface else None
        limit = self._limit() if kind is FailureKind.CONTEXT_OVERFLOW else None
        return ErrorReading(kind, _sentence(self.said, self.status), learns, limit)

    def _limit(self) -> int | None:
        if (stated := shapes.count(self.payload.get("n_ctx"))) is not None:
            return stated
        for pattern in _LIMITS:
            if (found := pattern.search(self.words)) is not None and not self.echoes(found[0]):
                return shapes.count(int(found[1].replace(",", "") or 0))
        return None

    def echoes(self, words: str) -> bool:
        """Tell whether the backend may only be repeating what the client sent."""
        if not self.request:
            return False
        sent = shapes.decode(self.request)
        text = self.request if sent is None else msgspec.json.encode(sent)
        # Quoting and escaping change what stands between words, never the words.
        pattern = rb"\W+".join(re.escape(word.encode()) for word in re.findall(r"\w+", words))
        return re.search(pattern, text.lower()) is not None


def read(
    status: int,
    body: bytes,
    headers: Sequence[Header],
    *,
    surface: str = "",
    request: bytes = b"",
    words: Words = (),
) -> ErrorReading:
    """Read one error reply; never raises.

    Args:
        status: the HTTP status; 2xx for an error inside a success.
        body: of the reply, or the payload of an error event.
        headers: of the reply.
        surface: the surface that was asked for, which an unknown path makes known false.
        request: what was sent. Servers quote their clients, and words that stand in the request
            teach nothing, or one client could talk a model out of the fleet.
        words: what one backend type spells in its own way; searched before the common ones.
    """
    if 300 <= status < 400:
        return ErrorReading(FailureKind.REDIRECT, f"redirects ({status}) to {quote(target_of(headers))}")
    seen = _see(status, body, surface, request)
    if (plain := _PLAIN.get(seen.status)) is not None:
        return seen.reading(plain)
    rules: Iterable[Word] = (*words, *COMMON)
    if (telling := _PRESSED.get(seen.status)) is not None:
        rules = (word for word in rules if word.kind in telling)
    for word in rules:
        found = re.search(word.pattern, seen.words, re.MULTILINE)
        if found is not None and not seen.echoes(found[0]):
            return seen.reading(word.kind, word.learns)
    return _by_status(seen)


def target_of(headers: Sequence[Header]) -> str:
    """Return where a redirect points, without user info: for the operator, who can correct `url`."""
    target = shapes.text((find(headers, b"location") or b"").decode("latin-1"))
    return _USER_INFO.sub("//", target) or "nowhere"


def stated_in(body: bytes) -> str | None:
    """Return the cleaned message of an ``error`` in a 200, or ``None`` when there is none."""
    if "error" not in shapes.mapping(shapes.decode(body)):
        return None
    stated = parse(body)
    return quote(stated.message) if stated is not None else None


def is_lmstudio(body: bytes) -> bool:
    """Tell LM Studio's reply to any path that it does not have (its status is 200)."""
    stated = parse(body)
    return stated is not None and stated.message.startswith("Unexpected endpoint or method")


def _by_status(seen: _Seen) -> ErrorReading:
    status = seen.status
    if status == 403:
        return seen.reading(FailureKind.CREDENTIALS)
    if status == 503 and (_LOADING.search(seen.words) or "loading" in seen.payload):
        return seen.reading(FailureKind.LOADING)
    if status in _PRESSED:
        return seen.reading(FailureKind.BUSY)
    if status in (405, 501) or (status == 404 and _is_unknown_path(seen)) or _is_unexpected(seen):
        return seen.reading(FailureKind.MISSING_CAPABILITY, "surface")
    if 400 <= status < 500:
        return seen.reading(FailureKind.CLIENT_ERROR)
    return seen.reading(FailureKind.SERVER_ERROR)


def _is_unexpected(seen: _Seen) -> bool:
    return seen.said.startswith("Unexpected endpoint or method")


def _is_unknown_path(seen: _Seen) -> bool:
    said = seen.said.lower()
    if _NO_PATH.fullmatch(said):
        return True
    found = _NO_PATH_WORDS.search(_QUOTED.sub("", said))
    return found is not None and not seen.echoes(found[0])


def _see(status: int, body: bytes, surface: str, request: bytes) -> _Seen:
    stated = parse(body)
    payload = _error_object(shapes.decode(body))
    if stated is None:
        said, words = "", ""
    else:
        said = " ".join(stated.message[:_READ_CHARS].split())
        words = "\n".join(part for part in (said, stated.code, stated.type) if part).lower()
    if 200 <= status < 300:
        status = _inner_status(payload, status)
    return _Seen(status, said, words, payload, surface, request)


def _inner_status(payload: shapes.Row, status: int) -> int:
    """Read an error inside a 200 as the status that it should have been, client errors excepted.

    A success that turns out to be an error is the backend's fault until a wording says otherwise.
    """
    kind = payload.get("type")
    inner = _BY_TYPE.get(kind) if isinstance(kind, str) else None
    inner = inner or shapes.count(payload.get("code")) or shapes.count(payload.get("http_status_code"))
    return inner if inner in _PLAIN or inner in _PRESSED else status


def _error_object(payload: object) -> shapes.Row:
    """Return the object that carries the error: nested, flat, or first in an array (Gemini)."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    outer = shapes.mapping(payload)
    return {**outer, **shapes.mapping(outer.get("error"))}


def _sentence(said: str, status: int) -> str:
    if said:
        return quote(said)
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "an unknown status"
    return f"{status} {phrase}, with nothing readable in the body"
