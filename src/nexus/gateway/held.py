"""A reply that waits for a better one."""

from __future__ import annotations

import msgspec


class Held(msgspec.Struct, frozen=True):
    """A complete reply that was kept back: relayed verbatim when nobody does better.

    Attributes:
        status: the backend's own.
        lines: the headers that the client gets, ready to be sent.
        body: at most ``relay.HOLD_BYTES``.
    """

    status: int
    lines: bytes
    body: bytes
