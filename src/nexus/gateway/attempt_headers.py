"""The ``X-Nexus-*`` headers of an attempt's reply."""

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
)
from nexus.routing.decision import Decision

_CAPABILITY_MATCH: Final = RouteReason.CAPABILITY_MATCH
_MATCHED: Final[tuple[Header]] = ((X_NEXUS_ROUTE_REASON, _CAPABILITY_MATCH.encode()),)


def backend_headers(backend: Backend) -> tuple[Header, ...]:
    """Return the headers that name a backend."""
    return (
        (X_NEXUS_BACKEND, header_value(backend.name)),
        (X_NEXUS_BACKEND_TYPE, b"cloud" if backend.cloud else b"local"),
    )


def attempt_headers(named: tuple[Header, ...], decision: Decision, exchange: Exchange) -> tuple[Header, ...]:
    """Return all headers of the attempt that begins now.

    Args:
        named: as :func:`backend_headers` makes them.
        decision: whom it asks, and why.
        exchange: with the attempts before it.
    """
    reason = decision.reason
    if reason is _CAPABILITY_MATCH and not decision.fallback:
        return named + _MATCHED + exchange.extra
    headers = [*named, (X_NEXUS_ROUTE_REASON, reason.encode()), *exchange.extra]
    if decision.fallback:
        headers.append((X_NEXUS_FALLBACK_MODEL, header_value(decision.model)))
    if exchange.attempts:
        headers.append((X_NEXUS_ATTEMPTS, b"%d" % (len(exchange.attempts) + 1)))
    return tuple(headers)
