"""The ``X-Nexus-*`` headers of an attempt's reply."""

from __future__ import annotations

from typing import Final

from nexus.domain import Backend
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

_MOST_CACHED: Final = 1024


class AttemptHeaders:
    """Makes them; what does not change from request to request is made once a backend."""

    __slots__ = ("_cached",)

    def __init__(self) -> None:
        self._cached: dict[tuple[str, bool, str], tuple[Header, ...]] = {}

    def of(self, decision: Decision, exchange: Exchange) -> tuple[Header, ...]:
        """Return the headers of the attempt that begins now.

        Args:
            decision: whom it asks, and why.
            exchange: with the attempts before it.
        """
        backend = decision.candidate.backend
        key = (backend.spec.name, backend.cloud, decision.reason)
        common = self._cached.get(key) or self._make(key, backend, decision)
        if not exchange.attempts and not decision.fallback:
            return common + exchange.extra
        headers = [*common, *exchange.extra]
        if decision.fallback:
            headers.append((X_NEXUS_FALLBACK_MODEL, header_value(decision.model)))
        if exchange.attempts:
            headers.append((X_NEXUS_ATTEMPTS, b"%d" % (len(exchange.attempts) + 1)))
        return tuple(headers)

    def _make(self, key: tuple[str, bool, str], backend: Backend, decision: Decision) -> tuple[Header, ...]:
        headers = (
            (X_NEXUS_BACKEND, header_value(backend.name)),
            (X_NEXUS_BACKEND_TYPE, b"cloud" if backend.cloud else b"local"),
            (X_NEXUS_ROUTE_REASON, decision.reason.encode()),
        )
        if len(self._cached) >= _MOST_CACHED:
            self._cached.clear()
        self._cached[key] = headers
        return headers
