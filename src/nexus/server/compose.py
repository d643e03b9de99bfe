"""Builds every part from a configuration and owns their start, drain and end."""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from nexus.backends import ADAPTERS
from nexus.backends.base import HttpProbe, Probe
from nexus.config.load import Loaded
from nexus.config.url import is_loopback
from nexus.domain import BackendSpec, BackendStatus, BackendType, FailureKind
from nexus.errors import StartError
from nexus.gateway.dispatch import Dispatcher
from nexus.gateway.doors import Doors
from nexus.gateway.endpoints import Gateway, GatewaySettings
from nexus.gateway.exchange import Exchanges
from nexus.gateway.pages import Pages
from nexus.gateway.upstream_request import Targets
from nexus.http.client import HttpClient, Timeouts
from nexus.http.limits import ServerLimits, UpstreamLimits
from nexus.http.server import HttpServer
from nexus.observe.hub import OutcomeHub
from nexus.observe.logs import RequestLog
from nexus.observe.metrics import BackendRow, RequestMetrics
from nexus.observe.writer import LineWriter
from nexus.protocol.error_body import render
from nexus.protocol.surfaces import surfaces_of
from nexus.registry.registry import Registry
from nexus.server.lifecycle import Lifecycle
from nexus.services.backend_watch import HealthSettings, HealthTools
from nexus.services.health import HealthService
from nexus.tasks import Clock, DeadlineWatch, SystemClock, TaskOwner

FLUSH_SECONDS: Final = 1.0
_MB: Final = 1024 * 1024


class Nexus:
    """One running gateway.

    Args:
        loaded: a valid configuration.
        writer: takes log lines.
        environ: for proxies of upstream connections.
        clock: the time.
    """

    def __init__(
        self, loaded: Loaded, writer: LineWriter, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        config = loaded.config
        self.loaded = loaded
        self._port = config.server.port
        self._clock = clock = clock or SystemClock()
        self._watch = DeadlineWatch(clock)
        self._client_tasks = TaskOwner("client")
        self._request_tasks = TaskOwner("request")
        # Randomness ranks backends and names gateways; it protects nothing.
        self._rng = random.Random()
        self.gateway_id = os.urandom(8).hex()
        self.registry = Registry(clock, loaded.rules)
        for spec in config.backends:
            self._register(spec)
        self.lifecycle = Lifecycle(
            clock.now(), self._has_backend, needs_backend=config.server.ready_needs_backend
        )
        self.client = HttpClient(
            clock=clock,
            watch=self._watch,
            tasks=self._client_tasks,
            limits=UpstreamLimits(
                idle_seconds=config.upstream.idle_seconds, max_connections=config.upstream.max_connections
            ),
            environ=environ,
        )
        self.metrics = RequestMetrics(self._backend_rows)
        request_log = RequestLog(writer, config.logging.format)
        hub = OutcomeHub(self.metrics.observe, request_log.observe)
        self.exchanges = Exchanges(clock, hub.publish)
        self._server = HttpServer(
            self._gateway(),
            self._server_limits(),
            clock,
            self._watch,
            self._request_tasks,
            render,
        )
        self.health = HealthService(
            HealthTools(
                registry=self.registry,
                make_probe=self._make_probe,
                settings=HealthSettings(
                    interval_seconds=config.health_check.interval_seconds,
                    failure_threshold=config.health_check.failure_threshold,
                    recovery_threshold=config.health_check.recovery_threshold,
                ),
                clock=clock,
                rng=self._rng,
                adapters=ADAPTERS,
            ),
            periodic=config.health_check.enabled,
        )
        self._start_tasks = TaskOwner("start")

    @property
    def base_url(self) -> str:
        """What clients set, without ``/v1``; the port is the configured one until :meth:`start`."""
        server = self.loaded.config.server
        scheme = "https" if server.tls_cert else "http"
        host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104  # compared only
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self.port}"

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
        context = _tls(server.tls_cert, server.tls_key)
        try:
            addresses = await self._server.listen(server.host, server.port, ssl=context)
        except OSError as error:
            raise StartError(_cannot_listen(server.host, server.port, error)) from error
        self._port = addresses[0][1]
        self.health.start()
        self._start_tasks.spawn(self._first_round(), "first-round")

    async def first_round(self) -> None:
        """Wait until every configured backend has been checked once."""
        await self.health.first_round()

    async def drain(self, seconds: float) -> int:
        """Turn new requests away, let running ones finish, cut what is left.

        Args:
            seconds: how long running requests may take.

        Returns:
            How many requests were cut.
        """
        self.lifecycle.draining = True
        self._server.draining = True
        deadline = self._clock.now() + seconds
        while self.exchanges.running and self._clock.now() < deadline:
            await self._clock.sleep(0.02)
        self._server.stop_listening()
        cut = self.exchanges.cut_all(FailureKind.SHUTTING_DOWN)
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
        await self._start_tasks.close()
        await self.health.close()
        await self._request_tasks.close()
        self._server.abort_all()
        await self.client.close()
        await self._client_tasks.close()
        self._watch.close()

    async def _first_round(self) -> None:
        await self.health.first_round()
        self.lifecycle.checked = True

    def _register(self, spec: BackendSpec) -> None:
        backend_type = spec.type or BackendType.GENERIC
        adapter = ADAPTERS[backend_type]
        self.registry.register(
            spec,
            slots=adapter.default_slots,
            cloud=adapter.cloud,
            surfaces=surfaces_of(backend_type),
            counts_max_tokens=adapter.counts_max_tokens,
        )

    def _has_backend(self) -> bool:
        backends = self.registry.snapshot.backends.values()
        return any(backend.status is BackendStatus.HEALTHY for backend in backends)

    def _backend_rows(self) -> Iterator[BackendRow]:
        for view in self.registry.views():
            yield view.name, view.type, view.status == BackendStatus.HEALTHY, view.in_flight

    def _make_probe(self, spec: BackendSpec) -> Probe:
        timeout = self.loaded.config.health_check.timeout_seconds
        return HttpProbe(self.client, spec, timeout, gateway_id=self.gateway_id)

    def _gateway(self) -> Gateway:
        config = self.loaded.config
        timeouts = config.timeouts
        dispatcher = Dispatcher(
            self.registry,
            self.client,
            Targets(ADAPTERS, self.gateway_id),
            Timeouts(
                connect=timeouts.connect_seconds,
                first_byte=timeouts.first_byte_seconds,
                idle=timeouts.idle_seconds,
                total=timeouts.total_seconds,
            ),
            self._clock,
            self._rng,
        )
        doors = Doors(
            keys=self.loaded.client_keys,
            cors_origins=frozenset(config.server.cors_origins),
            loopback=is_loopback(config.server.host),
            hosts=frozenset(name.lower() for name in config.server.allowed_hosts),
        )
        return Gateway(
            registry=self.registry,
            dispatcher=dispatcher,
            exchanges=self.exchanges,
            pages=Pages(self.registry, self.lifecycle, self.metrics, self._clock, lambda: self.base_url),
            settings=GatewaySettings(
                doors=doors,
                gateway_id=self.gateway_id,
                max_concurrent_requests=config.server.max_concurrent_requests,
                sse_keepalive_seconds=config.server.sse_keepalive_seconds,
            ),
            state=self.lifecycle,
            clock=self._clock,
            watch=self._watch,
            make_id=self._request_id,
            base_url=lambda: self.base_url,
        )

    def _request_id(self) -> str:
        return self._rng.getrandbits(96).to_bytes(12, "big").hex()

    def _server_limits(self) -> ServerLimits:
        server, timeouts = self.loaded.config.server, self.loaded.config.timeouts
        return ServerLimits(
            head_bytes=server.max_header_kb * 1024,
            body_bytes=server.max_body_mb * _MB,
            buffered_bytes=server.max_buffered_mb * _MB,
            write_seconds=timeouts.write_seconds,
        )


def _tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(Path(cert).expanduser(), None if key is None else Path(key).expanduser())
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"cannot use the certificate in [server] tls_cert '{cert}': {error}") from error
    return context


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == 98 or "in use" in str(error):  # EADDRINUSE
        return (
            f"port {port} on {host} is in use: stop what listens there, or choose another port with "
            "--port or [server] port"
        )
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
