"""Attempts: decide, lease, call, classify, again.

Laws: one path for every request, streamed or not; every attempt decides again on the newest
snapshot with the tried backends left out; there is no ``await`` between a decision and its lease.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from nexus.domain import FailureKind, Requirements, replace
from nexus.errors import RequestError, UpstreamError
from nexus.gateway.attempt_headers import attempt_lines
from nexus.gateway.consequences import Consequences
from nexus.gateway.exchange import Exchange
from nexus.gateway.exhausted import every_attempt_failed, nobody_qualifies
from nexus.gateway.failures import (
    BEFORE_FIRST_BYTE,
    EVENT_TEXT,
    after_first_byte,
    before_first_byte,
)
from nexus.gateway.held import Held
from nexus.gateway.relay import Relay
from nexus.gateway.upstream_request import Targets
from nexus.http.client import HttpClient, Timeouts
from nexus.protocol.envelope import Envelope
from nexus.protocol.error_body import quote
from nexus.protocol.headers import find, retry_after
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
        targets: what requests to each backend share.
        timeouts: of each attempt.
        clock, rng: injected time and randomness.

    Attributes:
        make_relay: makes what receives an attempt's reply, where that is not a plain relay.
    """

    __slots__ = (
        "_client",
        "_clock",
        "_consequences",
        "_now",
        "_registry",
        "_rng",
        "_targets",
        "_timeouts",
        "make_relay",
    )

    def __init__(
        self,
        registry: Registry,
        client: HttpClient,
        targets: Targets,
        timeouts: Timeouts,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._registry = registry
        self._client = client
        self._targets = targets
        self._timeouts = timeouts
        self._clock = clock
        self._now = clock.now
        self._rng = rng
        self._consequences = Consequences(registry, clock)
        self.make_relay: Callable[..., Relay] | None = None

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Give attempts that begin from now on other time limits."""
        self._timeouts = timeouts

    async def run(self, exchange: Exchange, envelope: Envelope, requirements: Requirements) -> None:
        """Relay one reply, or raise the error that sums up why there is none.

        Raises:
            RequestError: before anything was sent to the client.
        """
        tried = _NONE_TRIED
        sent = 0
        held: Held | None = None
        trail = exchange.trail
        trail.needs = requirements
        now = self._now()
        trail.read_seconds = now - exchange.started
        while True:
            snapshot = self._registry.snapshot
            trail.turn = now
            decision = decide(snapshot, requirements, now, self._rng, tried)
            decided = self._now()
            trail.decision_seconds += decided - now
            trail.decisions.append(decision)
            if isinstance(decision, Refusal):
                self._give_up(exchange, held, nobody_qualifies(decision, snapshot))
                return
            relay = await self._attempt(exchange, envelope, requirements, decision, decided)
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
            now = self._now()

    async def _attempt(
        self,
        exchange: Exchange,
        envelope: Envelope,
        requirements: Requirements,
        decision: Decision,
        now: float,
    ) -> Relay:
        candidate = decision.candidate
        backend = candidate.backend
        target = self._targets.of(backend, exchange.surface)
        exchange.decision = decision
        body = envelope.edited(model=candidate.model.native_id, fixes=target.fixes)
        request = target.request(exchange.request, exchange.request_id, body, exchange.trail.trace)
        lease = self._registry.lease(candidate, now)
        lines = attempt_lines(target.named, decision, exchange)
        make = self.make_relay
        if make is None:
            relay = Relay(exchange, lease, target.adapter, self._now, lines, body)
        else:
            relay = make(exchange, lease, target.adapter, self._now, lines, body)
        try:
            with lease:
                try:
                    await self._client.exchange(backend.spec.origin, request, relay, self._timeouts)
                    relay.complete()
                except UpstreamError as error:
                    if relay.conclude():
                        self._judge(exchange, lease, relay, requirements)
                    else:
                        self._broken(exchange, lease, relay, error)
                    # As at the end of an exchange.
                    error.__traceback__ = None
                except asyncio.CancelledError:
                    lease.fail(exchange.cause or FailureKind.SHUTTING_DOWN, status=relay.status or None)
                    raise
                else:
                    self._judge(exchange, lease, relay, requirements)
        finally:
            exchange.reply.source = None
            exchange.attempts.append(lease.attempt)
        if lease.attempt.failure is not None:
            self._consequences.apply(candidate, lease.attempt, relay.reading, requirements, relay.committed)
        return relay

    def _broken(self, exchange: Exchange, lease: Lease, relay: Relay, error: UpstreamError) -> None:
        """The transport failed, before or after the first byte."""
        kind = after_first_byte(error) if relay.committed else before_first_byte(error)
        secrets = lease.candidate.backend.spec.secrets
        lease.fail(kind, status=relay.status or None, message=quote(str(error), secrets))
        if relay.committed:
            _end_honestly(exchange, relay, kind)

    def _judge(self, exchange: Exchange, lease: Lease, relay: Relay, requirements: Requirements) -> None:
        """The reply is whole by its framing; what it says may still be a failure."""
        usage = exchange.usage = relay.usage
        failure = relay.failure
        if failure is None:
            lease.status = relay.status
            if usage is not None:
                # The count speaks of schemas, images and audio too, where there are any.
                mixed = requirements.tools or requirements.images or requirements.audio
                lease.tokens(usage, 0 if mixed else requirements.text_bytes)
            return
        reading = relay.reading
        message = reading.message if reading is not None else EVENT_TEXT.get(failure, ("", ""))[1]
        asked = retry_after(find(relay.headers, b"retry-after"), self._clock.wall())
        message = quote(message, lease.candidate.backend.spec.secrets)
        lease.fail(failure, status=relay.status, message=message, retry_after=asked)
        if failure is FailureKind.UPSTREAM_INCOMPLETE:
            _end_honestly(exchange, relay, failure)

    def _give_up(self, exchange: Exchange, held: Held | None, refusal: RequestError | None) -> None:
        if held is not None and not exchange.reply.started:
            exchange.started_reply(held.status, self._now())
            exchange.bytes_out += len(held.body)
            exchange.reply.send(held.status, (), held.body, held.lines)
            return
        if refusal is None or exchange.attempts:
            raise every_attempt_failed(exchange.model, exchange.attempts)
        raise refusal


def _larger(requirements: Requirements, decision: Decision, relay: Relay) -> Requirements:
    """After an overflow only a known larger context will do."""
    said = relay.reading.context_length if relay.reading is not None else None
    overflown = said or decision.candidate.model.context_length or 0
    return replace(requirements, context_above=max(overflown, requirements.context_above or 0))


def _end_honestly(exchange: Exchange, relay: Relay, kind: FailureKind) -> None:
    code, message = EVENT_TEXT[kind]
    exchange.end_with_event(code, message, prefix=relay.event_prefix())
