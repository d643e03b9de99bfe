"""Header names, allow-lists and the few values that Nexus reads.

A name keeps the case in which it arrived; comparisons are made on its lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import msgspec

Header = tuple[bytes, bytes]

_LINE: Final = b"%b: %b\r\n"

X_NEXUS_BACKEND: Final = b"X-Nexus-Backend"
X_NEXUS_BACKEND_TYPE: Final = b"X-Nexus-Backend-Type"
X_NEXUS_ROUTE_REASON: Final = b"X-Nexus-Route-Reason"
X_NEXUS_FALLBACK_MODEL: Final = b"X-Nexus-Fallback-Model"
X_NEXUS_ATTEMPTS: Final = b"X-Nexus-Attempts"
X_NEXUS_REQUEST_ID: Final = b"X-Nexus-Request-Id"
X_NEXUS_VIA: Final = b"X-Nexus-Via"
X_REQUEST_ID: Final = b"X-Request-Id"

FORWARDED: Final = frozenset(
    {b"traceparent", b"tracestate", b"anthropic-version", b"anthropic-beta", b"openai-beta"}
)
"""Client headers that go upstream as they came: an allow-list, so that nothing leaks by being new."""

MAX_GATEWAYS: Final = 8
MAX_RETRY_AFTER: Final = 60.0
"""Seconds: a backend cannot ask to be left alone for longer."""

_LOST_NAMES: Final = frozenset(
    {
        # Hop by hop (RFC 9110 7.6.1); the server side frames the reply itself.
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        # Statements about the backend's own address, which the client never talks to.
        b"server",
        b"date",
        b"set-cookie",
        b"location",
        b"alt-svc",
        b"strict-transport-security",
    }
)
_LOST_PREFIXES: Final = (b"access-control-", b"x-nexus-")
_NO_CODING: Final = frozenset({b"", b"identity"})
_HARMLESS_CONNECTION: Final = frozenset({b"keep-alive", b"close"})
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SECONDS: Final = re.compile(rb"\d{1,20}(?:\.\d{1,20})?")


def lines_of(headers: Iterable[Header]) -> bytes:
    """Return headers as lines that are ready to be sent, each with its line break."""
    return b"".join([_LINE % header for header in headers])


def find(headers: Sequence[Header], name: bytes) -> bytes | None:
    """Return the first value of a header, or ``None``.

    Args:
        headers: as they arrived.
        name: in lower case.
    """
    length = len(name)
    for key, value in headers:
        if len(key) == length and key.lower() == name:
            return value
    return None


class FieldNames(msgspec.Struct, frozen=True, eq=False):
    """The names in a reply's head and what follows from them alone: a server sends the same each time.

    Attributes:
        names: as sent, in order.
        kept: places of the headers that the client gets.
        connections: places of ``Connection``.
        type_at, coding_at: places of ``Content-Type`` and ``Content-Encoding``; -1 without one.
        lasting: such a lasting HTTP/1.1 reply has a body of known length, and nothing is said of
            how long the connection lives: there is a length, and neither a transfer coding nor a
            keep-alive time.
        told: what :func:`read_reply` returns, where the values that it looks at are known as well.
    """

    names: list[bytes]
    kept: tuple[int, ...]
    connections: tuple[int, ...]
    type_at: int
    coding_at: int
    lasting: bool
    told: tuple[bytes, bool, bool] | None = None


NO_NAMES: Final = FieldNames([], (), (), -1, -1, lasting=False)


@lru_cache(maxsize=128)
def field_names(names: tuple[bytes, ...]) -> FieldNames:
    """Return what the names in a reply's head tell."""
    lowered = [name.lower() for name in names]
    places = {name: at for at, name in reversed(list(enumerate(lowered)))}
    return FieldNames(
        names=list(names),
        kept=tuple(
            at
            for at, name in enumerate(lowered)
            if name not in _LOST_NAMES and not name.startswith(_LOST_PREFIXES)
        ),
        connections=tuple(at for at, name in enumerate(lowered) if name == b"connection"),
        type_at=places.get(b"content-type", -1),
        coding_at=places.get(b"content-encoding", -1),
        lasting=b"content-length" in places
        and b"transfer-encoding" not in places
        and b"keep-alive" not in places,
    )


def read_reply(headers: Sequence[Header], names: FieldNames) -> tuple[bytes, bool, bool]:
    """Read a backend's reply headers once, for all that its relay asks.

    Left out of what the client gets are hop-by-hop headers and those named in ``Connection``
    (RFC 9110 7.6.1), what speaks of the backend's own address, ``Access-Control-*`` (CORS is the
    gateway's alone), any ``X-Nexus-*``, and the framing headers, which the server side writes
    itself.

    Args:
        headers: as they arrived.
        names: theirs.

    Returns:
        The headers that the client gets, in order, as lines ready to be sent; whether the body is a
        stream of server-sent events; whether it is in a content coding other than identity.
    """
    if names.told is not None:
        return names.told
    kept = []
    for at in names.kept:
        kept.append(headers[at])  # noqa: PERF401 - for the few that there are, a comprehension's frame costs more
    for at in names.connections:
        value = headers[at][1]
        # Most replies say it in lower case, so the plain value is looked up first.
        if (
            value not in _HARMLESS_CONNECTION
            and (lowered := value.strip().lower()) not in _HARMLESS_CONNECTION
        ):
            named = {token.strip() for token in lowered.split(b",")}
            kept = [header for header in kept if header[0].lower() not in named]
    event_stream = coded = False
    # Most replies that are no stream say just this: to compare is cheaper than to take apart.
    if names.type_at >= 0 and (kind := headers[names.type_at][1]) != b"application/json":
        event_stream = media_type(kind) == b"text/event-stream"
    if names.coding_at >= 0:
        coded = headers[names.coding_at][1].strip().lower() not in _NO_CODING
    return lines_of(kept), event_stream, coded


def request_id(candidate: bytes | None, make: Callable[[], str]) -> str:
    """Return the client's ``X-Request-Id`` when it is safe to log and send on, else a made one.

    Args:
        candidate: the header's value, or ``None``.
        make: called for a fresh id; randomness is injected.
    """
    if candidate is not None and _REQUEST_ID.fullmatch(candidate):
        return candidate.decode("ascii")
    return make()


def retry_after(value: bytes | None, wall: float) -> float | None:
    """Return how many seconds a ``Retry-After`` asks for (RFC 9110 10.2.3), 0 to 60.

    Args:
        value: seconds or an HTTP date, or ``None``.
        wall: wall-clock seconds now, for dates.

    Returns:
        ``None`` when there is no value or none that can be read.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text.decode("ascii")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(moment - wall, 0.0), MAX_RETRY_AFTER)


def passed_gateways(value: bytes | None) -> tuple[str, ...]:
    """Return the ids in an ``X-Nexus-Via``, oldest first: the last 9, of which 8 may be."""
    if not value:
        return ()
    ids = (part.strip() for part in value[-4096:].decode("latin-1").split(","))
    return tuple(name for name in ids if name)[-MAX_GATEWAYS - 1 :]


def add_gateway(value: bytes | None, own_id: str) -> bytes:
    """Return an ``X-Nexus-Via`` with this gateway at its end.

    The next gateway refuses what has passed more than 8, so that it is seen in every loop, however
    long: also in one of servers of which nobody knows that they are gateways.
    """
    if not value:
        return own_id.encode("latin-1")
    passed = passed_gateways(value)[-MAX_GATEWAYS:]
    return ", ".join((*passed, own_id)).encode("latin-1")


@lru_cache(maxsize=256)
def media_type(value: bytes | None) -> bytes:
    """Return the type of a ``Content-Type`` in lower case, without parameters; empty without one."""
    return b"" if value is None else value.partition(b";")[0].strip().lower()


@lru_cache(maxsize=256)
def header_value(text: str) -> bytes:
    """Return ``text`` as a field value: control characters, which could end the line, become ``?``."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text.encode("utf-8", "replace")
