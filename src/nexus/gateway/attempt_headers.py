"""The ``X-Nexus-*`` headers of an attempt's reply, as lines ready to be sent."""

from __future__ import annotations

from typing import Final

from nexus.domain import Backend, RouteReason
from nexus.gateway.exchange import Exchange
from nexus.protocol.headers import (
    X_NEXUS_ATTEMPTS,
    X_NEXUS_BACKEND,
    X_NEXUS_BACKEND_TYPE,
    X_NEXUS_FALLBACK_MODEL,
    X_NEXUS_ROUTE_REASON,
    Header,
    header_value,
    lines_of,
)
from nexus.routing.decision import Decision

_CAPABILITY_MATCH: Final = RouteReason.CAPABILITY_MATCH
_MATCHED: Final = lines_of([(X_NEXUS_ROUTE_REASON, _CAPABILITY_MATCH.encode())])


def backend_lines(backend: Backend) -> bytes:
    """Return the header lines that name a backend."""
    return lines_of(
        [
            (X_NEXUS_BACKEND, header_value(backend.name)),
            (X_NEXUS_BACKEND_TYPE, b"cloud" if backend.cloud else b"local"),
        ]
    )


def attempt_lines(named: bytes, decision: Decision, exchange: Exchange) -> bytes:
    """Return all header lines of the attempt that begins now.

    Args:
        named: as :func:`backend_lines` makes them.
        decision: whom it asks, and why.
        exchange: with the attempts before it.
    """
    reason = decision.reason
    if reason is _CAPABILITY_MATCH and not decision.fallback:
        return named + _MATCHED + exchange.lines
    headers: list[Header] = [(X_NEXUS_ROUTE_REASON, reason.encode())]
    if decision.fallback:
        headers.append((X_NEXUS_FALLBACK_MODEL, header_value(decision.model)))
    if exchange.attempts:
        headers.append((X_NEXUS_ATTEMPTS, b"%d" % (len(exchange.attempts) + 1)))
    return named + lines_of(headers) + exchange.lines
