"""Reads error replies: whose fault, what to learn, whether another backend may do better.

Words decide before statuses, since the same trouble comes as 400, 404, 422, 500 or 501 by server.
Sources of the wordings: recorded replies of llama.cpp b11549, Ollama 0.9.3 and vLLM 0.32.0, the
sources of SGLang 0.5.23, TGI 3.3.7, exo and LM Studio's issue tracker, and the vendors' error pages
(https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.backends.base import ErrorReading
from nexus.domain import FailureKind
from nexus.protocol.error_body import parse, quote
from nexus.protocol.headers import Header, find

_READ_CHARS: Final = 4096


class Word(msgspec.Struct, frozen=True):
    """One wording.

    Attributes:
        kind: what it means.
        pattern: a regular expression, searched in the lower-case message.
        learns: for a missing capability, its name; ``"surface"`` stands for the surface asked for.
    """

    kind: FailureKind
    pattern: str
    learns: str | None = None


Words = tuple[Word, ...]

_MISSING: Final = FailureKind.MISSING_CAPABILITY
_REFUSES: Final = (
    r"(?:(?:does|do) not (?:currently )?support|no support for|cannot (?:process|accept|handle)"
    r"|no endpoints found that support)"
)
_NARROWER: Final = (
    r"(?! (?:in (?!this)|with (?!this)|of |over |above |larger |bigger "
    r"|formats?|types?|files?|sizes?|media|mime))"
)


def _lacks(thing: str) -> str:
    """Match "does not support THING" and "THING is not supported".

    What refuses one form of the thing ("unsupported image format", "multiple images are not
    supported") must not match: it would teach that the thing as a whole is missing.
    """
    return (
        rf"{_REFUSES} (?:the |any |parameters?:? )?[\['\"`]{{0,2}}(?:{thing})\b{_NARROWER}"
        rf"|(?<!multiple )\b(?:{thing})['\"`]?(?: (?:is|are))? (?:not (?:currently )?supported|unsupported)\b"
    )


COMMON: Final[Words] = (
    # Context: before capabilities, since some of these say "not supported" in passing.
    Word(
        FailureKind.CONTEXT_OVERFLOW,
        r"context[_ ]length[_ ]exceeded|exceed_context_size|exceeds? the available context size"
        r"|maximum context length|longer than the model's context length|exceeds? the (?:model's )?context"
        r"|context (?:window|size|length) (?:is )?exceeded|exceeds? the maximum number of tokens"
        r"|exceeds? (?:the )?maximum allowed length|prompt is too long|input is too long"
        r"|cannot be greater than max_model_len|max_new_tokens`? must be <="
        r"|keep the first \d+ tokens|context the overflows|context overflow"
        r"|reduce the length of the (?:messages|prompt|input)",
    ),
    Word(_MISSING, r"image ur[il]s? (?:is|are) not|must be a base64[- ]encoded image", "remote_image"),
    Word(
        _MISSING,
        _lacks(r"vision|images?|image inputs?|image content|image_url|multimodal(?: inputs?)?")
        + r"|is not a multimodal model|unsupported modality:? image"
        r"|at most 0 image|missing data required for image"
        r"|image_url is only supported by",
        "vision",
    ),
    Word(_MISSING, _lacks(r"audio|audio inputs?|audio content|input_audio") + r"|at most 0 audio", "audio"),
    Word(
        _MISSING,
        _lacks(r"tools?|tool use|tool calls?|tool calling|function calling|functions")
        + r"|tool choice requires|without a tool call parser|tool error: grammar"
        r"|requires --enable-auto-tool-choice",
        "tools",
    ),
    Word(
        _MISSING,
        r"'response_format\.type' must be|response_format.{0,40}json_(?:schema|object).{0,40}not supported",
    ),
    Word(
        _MISSING, _lacks(r"response_format|response format|json mode|json_object|structured outputs?"), "json"
    ),
    Word(
        _MISSING,
        _lacks(r"embeddings?|embeddings? api")
        + r"|(?:is not|not appear to be) (?:an )?embedding\b|not allowed to generate embeddings",
        "embeddings",
    ),
    Word(FailureKind.SERVER_ERROR, r"request failed during generation"),
    Word(
        _MISSING,
        r"does not support (?:the )?(?:chat|completions?|generate|generation)\b"
        r"|(?:only|not) supported in (?:the )?/?v1/|is not a chat model",
        "surface",
    ),
    Word(
        FailureKind.BILLING,
        r"insufficient_quota|credit balance|insufficient (?:balance|credits|funds)|billing[_ ]hard",
    ),
    Word(
        FailureKind.UNKNOWN_MODEL,
        r"model_not_found|deploymentnotfound|unknown model|no such model|no models? (?:is |are )?loaded"
        r"|no instance found for model|not a valid model|invalid model name|^model: \S+$"
        r"|\bmodel (?:[`'\"][^`'\"]{1,300}[`'\"] |\S{1,300} )?(?:was |is )?"
        r"(?:not found|does not exist|not exist|not available|not installed|not loaded)",
    ),
)
"""Searched in order; the first that matches decides."""

_PATH: Final = re.compile(
    r"(?:not found|404 page not found|405 method not allowed|method not allowed|file not found"
    r"|404 not found|an html page|resource not found|not implemented)?\W*$"
    r"|.*?(?:unexpected endpoint or method|invalid url|unknown_url|cannot (?:get|post) /"
    r"|no route|no such (?:path|route|endpoint)"
    r"|(?:path|route|endpoint|url) .{0,200}?not (?:found|exist))",
    re.IGNORECASE,
)
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
            if found := pattern.search(self.words):
                return shapes.count(int(found[1].replace(",", "") or 0))
        return None


def read(
    status: int, body: bytes, headers: Sequence[Header], surface: str = "", words: Words = ()
) -> ErrorReading:
    """Read one error reply; never raises.

    Args:
        status: the HTTP status; 2xx for an error inside a success.
        body: of the reply, or the payload of an error event.
        headers: of the reply.
        surface: the surface that was asked for, which an unknown path makes known false.
        words: what one backend type spells in its own way; searched before the common ones.
    """
    if 300 <= status < 400:
        return ErrorReading(FailureKind.REDIRECT, f"redirects ({status}) to {quote(target_of(headers))}")
    seen = _see(status, body, surface)
    if (plain := _PLAIN.get(seen.status)) is not None:
        return seen.reading(plain)
    rules: Iterable[Word] = (*words, *COMMON)
    if (telling := _PRESSED.get(seen.status)) is not None:
        rules = (word for word in rules if word.kind in telling)
    for word in rules:
        if re.search(word.pattern, seen.words, re.MULTILINE):
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
    if status in (405, 501) or (status == 404 and _PATH.match(seen.said)) or _is_unexpected(seen):
        return seen.reading(FailureKind.MISSING_CAPABILITY, "surface")
    if 400 <= status < 500:
        return seen.reading(FailureKind.CLIENT_ERROR)
    return seen.reading(FailureKind.SERVER_ERROR)


def _is_unexpected(seen: _Seen) -> bool:
    return seen.said.startswith("Unexpected endpoint or method")


def _see(status: int, body: bytes, surface: str) -> _Seen:
    stated = parse(body)
    payload = _error_object(shapes.decode(body))
    if stated is None:
        said, words = "", ""
    else:
        said = " ".join(stated.message[:_READ_CHARS].split())
        words = "\n".join(part for part in (said, stated.code, stated.type) if part).lower()
    if 200 <= status < 300:
        status = _inner_status(payload, status)
    return _Seen(status, said, words, payload, surface)


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
