"""Every setting: its name, type, default and meaning, in one place.

The reader, the environment, the example file and the reference in ``docs/configuration.md``
all follow this module, ``metrics``, ``telling`` and ``tables``; a setting in none of them does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from nexus.config.formats import GLOB, HOST, MDNS, MODEL, NETWORK, ORIGIN, PEER, VARIABLE
from nexus.config.kinds import Choice, FileName, Flag, ListOf, MapOf, Seconds, Setting, Tables, Whole
from nexus.config.metrics import MetricsConfig
from nexus.config.telling import LoggingConfig, TracingConfig
from nexus.domain import BackendSpec, FallbackChains, Strategy, Weights

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class ServerConfig(msgspec.Struct, frozen=True):
    """The door that clients come through."""

    host: Annotated[
        str, Setting("Address to listen on; `0.0.0.0` or `::` opens it to the network.", HOST)
    ] = "127.0.0.1"
    port: Annotated[int, Setting("Port to listen on; 0 takes any free one.", Whole(0, 65535))] = 6398
    max_body_mb: Annotated[int, Setting("Largest request body, in MB (413 above).", Whole(1, 4096))] = 100
    max_buffered_mb: Annotated[
        int,
        Setting(
            "Request bodies held in memory at once, all together, in MB (503 above).", Whole(1, 1_048_576)
        ),
    ] = 256
    max_concurrent_requests: Annotated[
        int,
        Setting(
            "Requests served at once (503 with `Retry-After` above); 0 is no limit.", Whole(0, 1_000_000)
        ),
    ] = 0
    drain_seconds: Annotated[
        float, Setting("How long running requests may take to finish after SIGTERM.", Seconds(zero=True))
    ] = 30.0
    max_header_kb: Annotated[
        int, Setting("Largest head of a request, in KB (431 above).", Whole(1, 1024))
    ] = 64
    cors_origins: Annotated[
        tuple[str, ...],
        Setting(
            "Web pages that may call Nexus from a browser; any other `Origin` gets 403.",
            ListOf(ORIGIN),
            '["https://chat.example:3000"]',
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(
            "Names, besides `localhost` and addresses, that clients on a loopback bind may put into `Host`.",
            ListOf(HOST),
            '["gateway.internal"]',
        ),
    ] = ()
    sse_keepalive_seconds: Annotated[
        float,
        Setting(
            "Send an SSE comment whenever a backend is silent this long before its first byte; 0 is off. "
            "The first comment commits the reply: there is no failover after it.",
            Seconds(zero=True),
        ),
    ] = 0.0
    api_keys_env: Annotated[
        str | None,
        Setting(
            "Environment variable that holds the keys clients must show, separated by commas or lines.",
            VARIABLE,
            '"GATEWAY_KEYS"',
        ),
    ] = None
    api_keys_file: Annotated[
        str | None,
        Setting(
            "File with the keys clients must show: one a line, `#` begins a comment line.",
            FileName(),
            '"keys.txt"',
        ),
    ] = None
    allow_anonymous_cloud: Annotated[
        bool,
        Setting(
            "Serve from backends that have a key of their own even when the bind is wider than this computer "
            "and clients need no key.",
            Flag(),
        ),
    ] = False
    ready_needs_backend: Annotated[
        bool, Setting("`/health/ready` is 200 only while at least one backend is healthy.", Flag())
    ] = False
    reload: Annotated[
        bool, Setting("Apply a change of the configuration file at once; SIGHUP applies it always.", Flag())
    ] = True
    tls_cert: Annotated[
        str | None, Setting("PEM file with the certificate chain; turns on https.", FileName(), '"cert.pem"')
    ] = None
    tls_key: Annotated[
        str | None,
        Setting("PEM file with the private key, when `tls_cert` does not hold it.", FileName(), '"key.pem"'),
    ] = None


class TimeoutsConfig(msgspec.Struct, frozen=True):
    """How long a backend and a client may take."""

    connect_seconds: Annotated[float, Setting("Until a connection to a backend stands.", Seconds())] = 5.0
    first_byte_seconds: Annotated[
        float, Setting("Until the first byte of a reply: long prompts and cold loads are normal.", Seconds())
    ] = 600.0
    idle_seconds: Annotated[
        float, Setting("Between two chunks of a reply; SSE comments count as life.", Seconds())
    ] = 120.0
    total_seconds: Annotated[float, Setting("For a whole reply; 0 is off.", Seconds(zero=True))] = 0.0
    write_seconds: Annotated[float, Setting("Until a client that takes nothing is cut.", Seconds())] = 60.0


class DiscoveryConfig(msgspec.Struct, frozen=True):
    """Finding backends by itself, and being found."""

    enabled: Annotated[bool, Setting("Look for backends on this computer and on the network.", Flag())] = True
    probe_local: Annotated[
        bool, Setting("Look at `OLLAMA_HOST` and at the usual ports of this computer.", Flag())
    ] = True
    probe_seconds: Annotated[float, Setting("Between two looks at this computer's ports.", Seconds())] = 60.0
    service_types: Annotated[
        tuple[str, ...], Setting("mDNS service types that are taken for backends.", ListOf(MDNS))
    ] = ("_ollama._tcp.local", "_llm._tcp.local")
    grace_period_seconds: Annotated[
        float,
        Setting("How long a backend is kept that is no longer announced or answering.", Seconds(zero=True)),
    ] = 60.0
    peers: Annotated[
        tuple[str, ...],
        Setting(
            "Servers on other computers that are looked at regularly, where multicast does not reach.",
            ListOf(PEER),
            '["box.lan:11434"]',
        ),
    ] = ()
    allow: Annotated[
        tuple[str, ...],
        Setting(
            "Networks beside the private and link-local ones that an announced server may be in; "
            "loopback only if it is named itself.",
            ListOf(NETWORK),
            '["100.64.0.0/10"]',
        ),
    ] = ()
    max_backends: Annotated[int, Setting("Backends that discovery adds at most.", Whole(1, 10_000))] = 64
    advertise: Annotated[
        bool,
        Setting(
            "Announce this Nexus on the network; needs a `host` that others reach, and keys or `open`.",
            Flag(),
        ),
    ] = False
    open: Annotated[bool, Setting("Announce it although it asks clients for no key.", Flag())] = False


class AdminConfig(msgspec.Struct, frozen=True):
    """Seeing and changing a running Nexus."""

    enabled: Annotated[bool, Setting("Serve `/admin`.", Flag())] = True
    token_env: Annotated[
        str | None,
        Setting(
            "Environment variable that holds the token to show for `/admin`; without one only this computer "
            "is let in.",
            VARIABLE,
            '"GATEWAY_ADMIN_TOKEN"',
        ),
    ] = None


class UpstreamConfig(msgspec.Struct, frozen=True):
    """Connections to backends."""

    idle_seconds: Annotated[
        float,
        Setting(
            "How long an unused connection is kept; several servers close theirs at 5. 0 keeps none.",
            Seconds(zero=True),
        ),
    ] = 4.0
    max_connections: Annotated[
        int, Setting("Connections to one backend at once; 0 is unbounded.", Whole(0, 1_000_000))
    ] = 0


class HealthCheckConfig(msgspec.Struct, frozen=True):
    """Asking backends how they are."""

    enabled: Annotated[bool, Setting("Check backends regularly.", Flag())] = True
    interval_seconds: Annotated[float, Setting("Between two checks of one backend.", Seconds())] = 30.0
    timeout_seconds: Annotated[float, Setting("Until a check counts as failed.", Seconds())] = 5.0
    failure_threshold: Annotated[
        int, Setting("Failed checks in a row until a backend counts as unhealthy.", Whole(1, 1000))
    ] = 3
    recovery_threshold: Annotated[
        int, Setting("Good checks in a row until an unhealthy backend is used again.", Whole(1, 1000))
    ] = 2


_WEIGHT: Final = Whole(0, 100)


class WeightsConfig(Weights, frozen=True):
    """What the `smart` strategy looks at; the three sum to 100."""

    priority: Annotated[int, Setting("Share of the backend's priority.", _WEIGHT)] = 50
    load: Annotated[int, Setting("Share of how busy it is.", _WEIGHT)] = 30
    latency: Annotated[int, Setting("Share of how fast it answered lately.", _WEIGHT)] = 20


class RoutingConfig(msgspec.Struct, frozen=True):
    """Which backend serves a request."""

    strategy: Annotated[
        Strategy, Setting("How backends that can serve a request are ranked.", Choice(Strategy))
    ] = Strategy.SMART
    max_retries: Annotated[
        int, Setting("Further attempts on other backends after a failed one.", Whole(0, 100))
    ] = 2
    default_model: Annotated[
        str | None, Setting("Serves requests that name no model (400 without it).", MODEL, '"llama3.1:8b"')
    ] = None
    weights: WeightsConfig = WeightsConfig()
    aliases: Annotated[
        Mapping[str, str],
        Setting(
            "Name or glob to the model that serves it; exact before longest glob, up to 3 hops.",
            MapOf(GLOB, MODEL),
            '"gpt-4" = "llama3:70b"',
        ),
    ] = _EMPTY
    fallbacks: Annotated[
        FallbackChains,
        Setting(
            "Model to the models tried after it, in order.",
            MapOf(MODEL, ListOf(MODEL)),
            '"llama3:70b" = ["qwen2:72b", "mixtral:8x7b"]',
        ),
    ] = MappingProxyType({})


class HistoryConfig(msgspec.Struct, frozen=True):
    """The requests that ended last, kept in memory to be explained."""

    requests: Annotated[int, Setting("Requests that are kept; 0 keeps none.", Whole(0, 1_000_000))] = 1000
    max_mb: Annotated[
        int, Setting("Memory that they may take, in MB; the oldest go first.", Whole(1, 65_536))
    ] = 16


class Config(msgspec.Struct, frozen=True):
    """The whole configuration, valid."""

    server: ServerConfig = ServerConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    admin: AdminConfig = AdminConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    health_check: HealthCheckConfig = HealthCheckConfig()
    routing: RoutingConfig = RoutingConfig()
    backends: Annotated[
        tuple[BackendSpec, ...], Setting("The servers behind Nexus.", Tables("[[backends]]"))
    ] = ()
    logging: LoggingConfig = LoggingConfig()
    history: HistoryConfig = HistoryConfig()
    tracing: TracingConfig = TracingConfig()
    metrics: MetricsConfig = MetricsConfig()
