"""From the configuration to what each part takes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Final

from nexus.config.load import Loaded
from nexus.config.url import is_loopback
from nexus.domain import Secret
from nexus.errors import StartError
from nexus.gateway.content import ContentLog
from nexus.gateway.dispatch import Dispatcher
from nexus.gateway.doors import Doors
from nexus.gateway.endpoints import GatewaySettings
from nexus.gateway.exchanges import Exchanges
from nexus.gateway.tracing import TraceLog
from nexus.http.client import Timeouts
from nexus.http.limits import ServerLimits, UpstreamLimits
from nexus.observe.mask import Mask
from nexus.observe.tracing import Tracer
from nexus.registry.registry import Registry
from nexus.services.backend_watch import HealthSettings

_MB: Final = 1024 * 1024


def base_url(loaded: Loaded, port: int) -> str:
    """Return what clients set, without ``/v1``."""
    server = loaded.config.server
    scheme = "https" if server.tls_cert else "http"
    host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104  # compared only
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{port}"


def timeouts(loaded: Loaded) -> Timeouts:
    """Return how long an attempt may take."""
    section = loaded.config.timeouts
    return Timeouts(
        connect=section.connect_seconds,
        first_byte=section.first_byte_seconds,
        idle=section.idle_seconds,
        total=section.total_seconds,
    )


def gateway_settings(loaded: Loaded, gateway_id: str) -> GatewaySettings:
    """Return what the request path goes by."""
    server = loaded.config.server
    doors = Doors(
        keys=loaded.client_keys,
        cors_origins=frozenset(server.cors_origins),
        loopback=is_loopback(server.host),
        hosts=frozenset(name.lower() for name in server.allowed_hosts),
        scheme="https" if server.tls_cert else "http",
    )
    return GatewaySettings(
        doors=doors,
        gateway_id=gateway_id,
        max_concurrent_requests=server.max_concurrent_requests,
        sse_keepalive_seconds=server.sse_keepalive_seconds,
        ask_stream_usage=loaded.config.metrics.ask_stream_usage,
    )


def health_settings(loaded: Loaded) -> HealthSettings:
    """Return how often and how strictly backends are checked."""
    section = loaded.config.health_check
    return HealthSettings(
        interval_seconds=section.interval_seconds,
        failure_threshold=section.failure_threshold,
        recovery_threshold=section.recovery_threshold,
    )


def server_limits(loaded: Loaded) -> ServerLimits:
    """Return what clients may send and how long they may take nothing."""
    server = loaded.config.server
    return ServerLimits(
        head_bytes=server.max_header_kb * 1024,
        body_bytes=server.max_body_mb * _MB,
        buffered_bytes=server.max_buffered_mb * _MB,
        write_seconds=loaded.config.timeouts.write_seconds,
    )


def upstream_limits(loaded: Loaded) -> UpstreamLimits:
    """Return how connections to backends are kept."""
    section = loaded.config.upstream
    return UpstreamLimits(idle_seconds=section.idle_seconds, max_connections=section.max_connections)


def history_bounds(loaded: Loaded) -> tuple[int, int]:
    """Return how many ended requests are kept, and in how many bytes."""
    section = loaded.config.history
    return section.requests, section.max_mb * _MB


def tell(loaded: Loaded, dispatcher: Dispatcher, exchanges: Exchanges, tracer: Tracer | None) -> None:
    """Have content logged from the next attempt on, or not any more, and requests traced."""
    section = loaded.config.logging
    traces = () if tracer is None else (TraceLog(tracer).observe,)
    if section.enable_content_logging:
        content = ContentLog(section.content_bytes)
        dispatcher.make_relay, exchanges.also = content.relay, (content.observe, *traces)
    else:
        dispatcher.make_relay, exchanges.also = None, traces


def tracer(loaded: Loaded, environ: Mapping[str, str], rng: random.Random, mask: Mask) -> Tracer | None:
    """Return what makes spans, or ``None`` while tracing is off.

    Raises:
        StartError: it is on, and the extra is not installed or a variable is wrong.
    """
    if not loaded.config.tracing.enabled or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    try:
        from nexus.observe.otel import OtelTracer  # noqa: PLC0415  # not imported while tracing is off
    except ModuleNotFoundError as error:
        raise StartError(
            f"tracing is on and {error.name} is not installed: pip install 'nexus-gateway[otel]', "
            "or set enabled = false under [tracing]"
        ) from None
    try:
        return OtelTracer(environ, rng, mask)
    except ValueError as error:
        raise StartError(f"tracing is on and a variable OTEL_... is wrong: {error}") from None


def secrets(
    loaded: Loaded,
    environ: Mapping[str, str],
    registry: Registry | None = None,
    token: Secret | None = None,
) -> Iterator[Secret]:
    """Return everything that must never be read in a log: of backends that were added, too."""
    if registry is not None:
        for backend in registry.snapshot.backends.values():
            yield from backend.spec.secrets
    if token is not None:
        yield token
    yield from loaded.client_keys
    if loaded.admin_token is not None:
        yield loaded.admin_token
    for spec in loaded.config.backends:
        yield from spec.secrets
    # Exporters of traces show what they send (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        for pair in environ.get(name, "").split(","):
            value = pair.partition("=")[2].strip()
            if value:
                yield Secret(value)
