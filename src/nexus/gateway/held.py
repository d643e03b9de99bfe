"""A reply that waits for a better one."""

from __future__ import annotations

import msgspec

from nexus.protocol.headers import Header


class Held(msgspec.Struct, frozen=True):
    """A complete reply that was kept back: relayed verbatim when nobody does better.

    Attributes:
        status: the backend's own.
        headers: of the backend's own those that the client gets.
        lines: ``X-Nexus-*``, ready to be sent.
        body: at most ``relay.HOLD_BYTES``.
    """

    status: int
    headers: list[Header]
    lines: bytes
    body: bytes
