"""Where a reply ends, and whether its connection lives on, read from its head."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

import msgspec

from nexus.errors import UpstreamProtocolError
from nexus.protocol.headers import Header

# Of a server's announced keep-alive time, what is left to it for closing.
_KEEP_ALIVE_MARGIN: Final = 0.5


class Framing(msgspec.Struct, frozen=True):
    """How one reply is delimited.

    Attributes:
        until_close: the body ends with the connection (RFC 9112 6.3, rule 8).
        idle_seconds: how long the connection may rest afterwards; 0 when it may not, ``inf``
            when the server does not say.
    """

    until_close: bool
    idle_seconds: float


LASTING: Final = Framing(until_close=False, idle_seconds=inf)
"""A body of known length, or none; nothing is said of how long the connection lives."""

_FINAL: Final = Framing(until_close=False, idle_seconds=0.0)
_UNTIL_CLOSE: Final = Framing(until_close=True, idle_seconds=0.0)


def read_framing(headers: Iterable[Header], version: str, *, bodiless: bool, lasting: bool) -> Framing:
    """Judge a reply's head (RFC 9112 6).

    Args:
        headers: its fields, names as sent.
        version: ``"1.1"``, as parsed.
        bodiless: the status or the request's method rules a body out.
        lasting: the parser's verdict on ``Connection`` and the framing.

    Raises:
        UpstreamProtocolError: another version, both lengths, or a transfer coding besides
            ``chunked``: where such a reply ends is a matter of opinion.
    """
    if version not in ("1.1", "1.0"):
        raise UpstreamProtocolError(f"a reply in HTTP/{version}")
    length = coding = keep_alive = None
    for name, value in headers:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            length = value
        elif size == 17 and name.lower() == b"transfer-encoding":
            coding = value if coding is None else coding + b", " + value
        elif size == 10 and name.lower() == b"keep-alive":
            keep_alive = value
    if coding is not None:
        _check_coding(coding, length)
    elif length is None and not bodiless:
        return _UNTIL_CLOSE
    if version != "1.1" or not lasting:
        return _FINAL
    return LASTING if keep_alive is None else Framing(until_close=False, idle_seconds=_announced(keep_alive))


def _check_coding(coding: bytes, length: bytes | None) -> None:
    if length is not None:
        raise UpstreamProtocolError("a reply with both Content-Length and Transfer-Encoding")
    if coding.strip().lower() != b"chunked":
        raise UpstreamProtocolError(f"a reply in the transfer coding {coding[:40]!r}")


def _announced(keep_alive: bytes) -> float:
    """Seconds of ``Keep-Alive: timeout=N`` less the margin; ``inf`` without a number."""
    for parameter in keep_alive.split(b","):
        name, _, value = parameter.partition(b"=")
        if name.strip().lower() == b"timeout" and value.strip().isdigit():
            return max(0.0, float(value) - _KEEP_ALIVE_MARGIN)
    return inf
