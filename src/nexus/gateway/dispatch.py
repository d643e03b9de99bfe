"""Attempts: decide, lease, call, classify, again.

Laws: one path for every request, streamed or not; every attempt decides again on the newest
snapshot with the tried backends left out; there is no ``await`` between a decision and its lease.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Final

import msgspec

from nexus.backends.base import Adapter
from nexus.domain import BackendSpec, BackendType, FailureKind, Requirements
from nexus.errors import RequestError, UpstreamError
from nexus.gateway.consequences import Consequences
from nexus.gateway.exchange import Exchange
from nexus.gateway.exhausted import every_attempt_failed, nobody_qualifies
from nexus.gateway.failures import (
    BEFORE_FIRST_BYTE,
    EVENT_TEXT,
    after_first_byte,
    before_first_byte,
)
from nexus.gateway.relay import Held, Relay
from nexus.gateway.upstream_request import UpstreamRequests
from nexus.http.client import HttpClient, Timeouts
from nexus.protocol.envelope import Envelope
from nexus.protocol.error_body import quote
from nexus.protocol.headers import (
    X_NEXUS_ATTEMPTS,
    X_NEXUS_BACKEND,
    X_NEXUS_BACKEND_TYPE,
    X_NEXUS_FALLBACK_MODEL,
    X_NEXUS_ROUTE_REASON,
    Header,
    find,
    header_value,
    retry_after,
)
from nexus.registry.lease import Lease
from nexus.registry.registry import Registry
from nexus.routing.decision import Decision, Refusal
from nexus.routing.router import decide
from nexus.tasks import Clock

_NONE_TRIED: Final[frozenset[str]] = frozenset()


class Dispatcher:
    """Runs one request over as many backends as it takes.

    Args:
        registry: the truth.
        client: upstream connections.
        adapters: how each type spells its errors and what fixes it needs.
        requests: builds what goes upstream.
        timeouts: of each attempt.
        clock, rng: injected time and randomness.
    """

    __slots__ = (
        "_adapters",
        "_client",
        "_clock",
        "_consequences",
        "_registry",
        "_requests",
        "_rng",
        "_timeouts",
    )

    def __init__(
        self,
        registry: Registry,
        client: HttpClient,
        adapters: Mapping[BackendType, Adapter],
        requests: UpstreamRequests,
        timeouts: Timeouts,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._registry = registry
        self._client = client
        self._adapters = adapters
        self._requests = requests
        self._timeouts = timeouts
        self._clock = clock
        self._rng = rng
        self._consequences = Consequences(registry, clock)

    async def run(self, exchange: Exchange, envelope: Envelope, requirements: Requirements) -> None:
        """Relay one reply, or raise the error that sums up why there is none.

        Raises:
            RequestError: before anything was sent to the client.
        """
        tried = _NONE_TRIED
        sent = 0
        held: Held | None = None
        while True:
            snapshot = self._registry.snapshot
            decision = decide(snapshot, requirements, self._clock.now(), self._rng, tried)
            if isinstance(decision, Refusal):
                self._give_up(exchange, held, nobody_qualifies(decision))
                return
            relay = await self._attempt(exchange, envelope, requirements, decision)
            attempt = exchange.attempts[-1]
            if attempt.failure is None or relay.committed:
                return
            if attempt.failure is FailureKind.CLIENT_ERROR:
                self._give_up(exchange, relay.held(), None)
                return
            if attempt.failure is FailureKind.CONTEXT_OVERFLOW:
                held = relay.held()
                requirements = _larger(requirements, decision, relay)
            tried |= {decision.candidate.backend.id}
            sent += attempt.sent
            again = BEFORE_FIRST_BYTE[attempt.failure].retry and sent <= snapshot.rules.max_retries
            if not again or exchange.reply.started:
                self._give_up(exchange, held, None)
                return

    async def _attempt(
        self, exchange: Exchange, envelope: Envelope, requirements: Requirements, decision: Decision
    ) -> Relay:
        candidate = decision.candidate
        backend = candidate.backend
        adapter = self._adapters[backend.type]
        lease = self._registry.lease(candidate)
        relay = Relay(exchange, lease, adapter, self._clock, _attempt_headers(exchange, decision))
        try:
            with lease:
                exchange.leased(decision)
                fixes = adapter.fixes - backend.spec.disabled_fixes
                body = envelope.edited(model=candidate.model.native_id, fixes=fixes)
                request = self._requests.build(
                    backend, exchange.surface, exchange.request, exchange.request_id, body
                )
                await self._call(exchange, lease, relay, backend.spec, request)
                if relay.failure is None and relay.usage is not None:
                    lease.tokens(relay.usage, _plain_text_bytes(requirements))
        finally:
            exchange.reply.on_pause = exchange.reply.on_resume = None
            exchange.attempts.append(lease.attempt)
        self._consequences.apply(candidate, lease.attempt, relay.reading, committed=relay.committed)
        return relay

    async def _call(
        self, exchange: Exchange, lease: Lease, relay: Relay, spec: BackendSpec, request: bytes
    ) -> None:
        """Make the call and note in the lease how it ended."""
        try:
            await self._client.exchange(spec.origin, request, relay, self._timeouts)
            relay.complete()
        except UpstreamError as error:
            kind = after_first_byte(error) if relay.committed else before_first_byte(error)
            lease.fail(kind, status=relay.status or None, message=quote(str(error), spec.secrets))
            if relay.committed:
                _end_honestly(exchange, relay, kind)
            return
        except asyncio.CancelledError:
            lease.fail(exchange.cause or FailureKind.SHUTTING_DOWN, status=relay.status or None)
            raise
        exchange.usage = relay.usage
        if relay.failure is not None:
            self._note(lease, relay, spec)
            if relay.failure is FailureKind.UPSTREAM_INCOMPLETE:
                _end_honestly(exchange, relay, relay.failure)

    def _note(self, lease: Lease, relay: Relay, spec: BackendSpec) -> None:
        assert relay.failure is not None  # noqa: S101  # the caller looked
        reading = relay.reading
        message = reading.message if reading is not None else EVENT_TEXT.get(relay.failure, ("", ""))[1]
        asked = retry_after(find(relay.headers, b"retry-after"), self._clock.wall())
        lease.fail(
            relay.failure, status=relay.status, message=quote(message, spec.secrets), retry_after=asked
        )

    def _give_up(self, exchange: Exchange, held: Held | None, refusal: RequestError | None) -> None:
        if held is not None and not exchange.reply.started:
            exchange.started_reply(held.status, self._clock.now())
            exchange.bytes_out += len(held.body)
            exchange.reply.send(held.status, held.headers, held.body)
            return
        if refusal is None or exchange.attempts:
            raise every_attempt_failed(exchange.model, exchange.attempts)
        raise refusal


def _plain_text_bytes(requirements: Requirements) -> int:
    """Bytes that the backend's token count speaks of; 0 where schemas, images or audio count too."""
    mixed = requirements.tools or requirements.images or requirements.audio
    return 0 if mixed else requirements.text_bytes


def _larger(requirements: Requirements, decision: Decision, relay: Relay) -> Requirements:
    """After an overflow only a known larger context will do."""
    said = relay.reading.context_length if relay.reading is not None else None
    overflown = said or decision.candidate.model.context_length or 0
    return msgspec.structs.replace(
        requirements, context_above=max(overflown, requirements.context_above or 0)
    )


def _end_honestly(exchange: Exchange, relay: Relay, kind: FailureKind) -> None:
    code, message = EVENT_TEXT[kind]
    exchange.end_with_event(code, message, prefix=relay.event_prefix())


def _attempt_headers(exchange: Exchange, decision: Decision) -> tuple[Header, ...]:
    backend = decision.candidate.backend
    headers = [
        (X_NEXUS_BACKEND, header_value(backend.name)),
        (X_NEXUS_BACKEND_TYPE, b"cloud" if backend.cloud else b"local"),
        (X_NEXUS_ROUTE_REASON, decision.reason.encode()),
        *exchange.extra,
    ]
    if decision.fallback:
        headers.append((X_NEXUS_FALLBACK_MODEL, header_value(decision.model)))
    if exchange.attempts:
        headers.append((X_NEXUS_ATTEMPTS, b"%d" % (len(exchange.attempts) + 1)))
    return tuple(headers)
