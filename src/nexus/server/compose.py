"""Builds every part from a configuration and owns their start, drain and end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from nexus.admin.picture import Facts
from nexus.backends import ADAPTERS
from nexus.backends.base import HttpProbe, Probe
from nexus.config.load import Loaded
from nexus.config.state_folder import state_folder
from nexus.domain import BackendSpec, FailureKind
from nexus.errors import StartError
from nexus.gateway.dispatch import Dispatcher
from nexus.gateway.endpoints import Gateway
from nexus.gateway.exchanges import Exchanges
from nexus.gateway.pages import Pages
from nexus.gateway.request_ids import RequestIds
from nexus.gateway.tracing import export_last
from nexus.gateway.upstream_request import Targets
from nexus.http.client import HttpClient
from nexus.http.resolve import SystemResolver
from nexus.http.server import HttpServer
from nexus.observe.mask import Mask
from nexus.observe.writer import LineWriter
from nexus.protocol.error_body import render
from nexus.registry.registry import Registry
from nexus.server import settings
from nexus.server.administration import Administration, Watched, administration
from nexus.server.beacon import Beacon
from nexus.server.finder import Finder
from nexus.server.fleet import Fleet
from nexus.server.gateway_id import claim
from nexus.server.lifecycle import Lifecycle
from nexus.server.listen import cannot_listen, tls_context
from nexus.server.looked import nothing_found
from nexus.server.observed import Observed
from nexus.services.backend_watch import HealthTools
from nexus.services.health import HealthService
from nexus.tasks import Clock, DeadlineWatch, SystemClock, TaskOwner

FLUSH_SECONDS: Final = 1.0
FOUND_SECONDS: Final = 0.5
GREETING_SECONDS: Final = 3.0


class Nexus:
    """One running gateway.

    Args:
        loaded: a valid configuration.
        writer: takes log lines.
        environ: for proxies of upstream connections, keys of added backends and the state folder.
        clock: the time.
        mask: keeps keys out of the log; it knows those of added backends, too, from now on.
    """

    def __init__(
        self,
        loaded: Loaded,
        writer: LineWriter,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        *,
        mask: Mask | None = None,
    ) -> None:
        config = loaded.config
        self.loaded = loaded
        self._port = config.server.port
        self._clock = clock = clock or SystemClock()
        self._watch = DeadlineWatch(clock)
        self._client_tasks = TaskOwner("client")
        self._request_tasks = TaskOwner("request")
        # Randomness ranks backends and names requests; it protects nothing.
        self._rng = random.Random()
        self._identity = claim(state_folder(environ), config.server.host, config.server.port)
        self.gateway_id = self._identity.text
        self.beacon = Beacon(self.gateway_id, clock)
        self.registry = Registry(clock, loaded.rules)
        self.lifecycle = Lifecycle(
            clock.now(), self.registry, needs_backend=config.server.ready_needs_backend
        )
        self._resolver = SystemResolver(self._client_tasks)
        self.client = self._make_client(environ)
        self.mask = mask or Mask()
        self.mask.known = lambda: settings.secrets(
            self.loaded, environ, self.registry, self.administration.one_time_token
        )
        self.observed = Observed(loaded, self.registry, writer, clock, self.mask)
        self.exchanges = Exchanges(clock, self.observed.publish)
        self.health = self._make_health()
        targets = Targets(ADAPTERS, self.gateway_id)
        self.fleet = self._make_fleet(targets)
        self.administration = self._administration(environ)
        self.finder = Finder(
            self.registry, self.fleet, clock=clock, environ=environ, gateway_id=self.gateway_id
        )
        self.dispatcher = Dispatcher(
            self.registry, self.client, targets, settings.timeouts(loaded), clock, self._rng
        )
        self.tracer = settings.tracer(loaded, environ, self._rng, self.mask)
        settings.tell(loaded, self.dispatcher, self.exchanges, self.tracer)
        self.gateway = self._gateway()
        limits = settings.server_limits(loaded)
        self._server = HttpServer(self.gateway, limits, clock, self._watch, self._request_tasks, render)
        self._start_tasks = TaskOwner("start")

    @property
    def base_url(self) -> str:
        """What clients set, without ``/v1``; the port is the configured one until :meth:`start`."""
        return settings.base_url(self.loaded, self.port)

    @property
    def port(self) -> int:
        """The port that is bound, or the configured one before that."""
        return self._port

    async def start(self) -> None:
        """Listen, and begin the first round of checks.

        Raises:
            StartError: the address cannot be bound or the certificate cannot be read.
        """
        server = self.loaded.config.server
        context = tls_context(server.tls_cert, server.tls_key)
        try:
            addresses = await self._server.listen(server.host, server.port, ssl=context)
        except OSError as error:
            raise StartError(cannot_listen(server.host, server.port, error)) from error
        self._port = addresses[0][1]
        self.fleet.start()
        self.beacon.bind(addresses)
        self.finder.bind(addresses)
        await self.follow()
        self._start_tasks.spawn(self._first_round(), "first-round")
        self._start_tasks.spawn(self.observed.loop_lag.run(), "loop-lag")

    async def follow(self) -> None:
        """Find and be found as the configuration says now."""
        await self.finder.follow(self.loaded)
        await self.beacon.follow(self.loaded)

    async def first_round(self) -> None:
        """Wait until every configured backend, and what runs on this computer, has been checked once."""
        await self.health.first_round()
        await self.finder.first_round()
        # A server that was found and then does not answer is not waited for.
        with suppress(TimeoutError):
            async with asyncio.timeout(FOUND_SECONDS):
                await self.health.first_round()

    async def first_look(self) -> None:
        """Wait for the first round, but only as long as the greeting may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GREETING_SECONDS):
                await self.first_round()

    async def drain(self, seconds: float) -> int:
        """Turn new requests away, let running ones finish, cut what is left.

        Args:
            seconds: how long running requests may take.

        Returns:
            How many requests were cut.
        """
        self.lifecycle.draining = True
        self._server.draining = True
        await self.beacon.close()
        deadline = self._clock.now() + seconds
        while self.exchanges.running and self._clock.now() < deadline:
            await self._clock.sleep(0.02)
        self._server.stop_listening()
        cut = self.exchanges.cut_all(FailureKind.SHUTTING_DOWN)
        if self.administration.app is not None:
            await self.administration.app.live.close()
        flush_until = self._clock.now() + FLUSH_SECONDS
        self._server.close_idle()
        while self._server.connections and self._clock.now() < flush_until:
            await self._clock.sleep(0.02)
            self._server.close_idle()
        return cut

    async def close(self) -> None:
        """End everything; nothing is left open."""
        self._server.stop_listening()
        self.exchanges.cut_all(FailureKind.SHUTTING_DOWN)
        if self.administration.app is not None:
            await self.administration.app.live.close()
        await self.beacon.close()
        await self._start_tasks.close()
        await self.finder.close()
        await self.fleet.close()
        await self._request_tasks.close()
        self._server.abort_all()
        await self.client.close()
        await self._client_tasks.close()
        self._watch.close()
        self.observed.deliver()
        await export_last(self.tracer, self._clock)
        self._identity.release()

    async def _first_round(self) -> None:
        await self.first_round()
        self.lifecycle.checked = True

    def _make_client(self, environ: Mapping[str, str]) -> HttpClient:
        return HttpClient(
            clock=self._clock,
            watch=self._watch,
            tasks=self._client_tasks,
            limits=settings.upstream_limits(self.loaded),
            environ=environ,
            resolver=self._resolver,
        )

    def _make_health(self) -> HealthService:
        tools = HealthTools(
            registry=self.registry,
            make_probe=self._make_probe,
            settings=settings.health_settings(self.loaded),
            clock=self._clock,
            rng=self._rng,
            adapters=ADAPTERS,
            gateway_id=self.gateway_id,
        )
        return HealthService(tools, periodic=self.loaded.config.health_check.enabled)

    def _make_fleet(self, targets: Targets) -> Fleet:
        """Make the fleet, and put what is configured into it."""
        fleet = Fleet(
            self.registry,
            self.health,
            self.client,
            targets,
            adapters=ADAPTERS,
            make_probe=self._make_probe,
            clock=self._clock,
            gateway_id=self.gateway_id,
        )
        for spec in self.loaded.config.backends:
            fleet.put(spec)
        return fleet

    def _administration(self, environ: Mapping[str, str]) -> Administration:
        facts = Facts(
            base_url=lambda: self.base_url,
            draining=lambda: self.lifecycle.draining,
            started=self.lifecycle.started,
            looked=lambda: nothing_found(self.loaded.config.discovery),
        )
        return administration(
            self.loaded,
            self.registry,
            self.fleet,
            Watched(self.exchanges, self.observed, facts, self._rng, self.gateway_id),
            resolver=self._resolver,
            clock=self._clock,
            environ=environ,
        )

    def _make_probe(self, spec: BackendSpec, seconds: float | None = None) -> Probe:
        timeout = self.loaded.config.health_check.timeout_seconds
        timeout = timeout if seconds is None else min(seconds, timeout)
        return HttpProbe(self.client, spec, timeout, gateway_id=self.gateway_id)

    def _gateway(self) -> Gateway:
        return Gateway(
            registry=self.registry,
            dispatcher=self.dispatcher,
            exchanges=self.exchanges,
            pages=Pages(
                self.registry,
                self.lifecycle,
                self.observed.metrics,
                exchanges=self.exchanges,
                gateway_id=self.gateway_id,
                clock=self._clock,
                base_url=lambda: self.base_url,
                may_see_backends=lambda request: self.administration.lets_in(self.loaded, request),
            ),
            settings=settings.gateway_settings(self.loaded, self.gateway_id),
            state=self.lifecycle,
            clock=self._clock,
            watch=self._watch,
            make_id=RequestIds(self._rng).make,
            base_url=lambda: self.base_url,
            admin=self.administration.app,
            tracer=self.tracer,
            site=self.administration.site,
        )
