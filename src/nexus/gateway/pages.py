"""Everything that is answered from memory: health, models, metrics, the root."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from nexus import __version__
from nexus.domain import BackendStatus
from nexus.errors import ServiceUnavailable
from nexus.http.server import Request
from nexus.registry.registry import Registry
from nexus.registry.snapshot import Snapshot
from nexus.tasks import Clock

_JSON: Final = b"application/json"
_PROXY_HEADERS: Final = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"via")


class Lifecycle(Protocol):
    """What the composition root knows of the process."""

    @property
    def started(self) -> float:
        """Monotonic seconds at which the process began to serve."""
        ...

    @property
    def ready(self) -> bool:
        """Configuration loaded, first round of checks over, not draining."""
        ...


class Metrics(Protocol):
    """Renders the metrics page."""

    def render(self, accept: str) -> tuple[bytes, bytes]:
        """Return content type and body."""
        ...


class Pages:
    """Answers ``GET`` and ``HEAD`` without I/O.

    Args:
        registry: the truth.
        lifecycle: uptime and readiness.
        metrics: the metrics page.
        clock: for the uptime.
        base_url: shown at the root, without ``/v1``.
    """

    __slots__ = ("_base_url", "_clock", "_lifecycle", "_metrics", "_models", "_pages", "_registry", "_rows")

    def __init__(
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        metrics: Metrics,
        clock: Clock,
        base_url: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._clock = clock
        self._base_url = base_url
        self._models: tuple[Snapshot, bytes] | None = None
        self._rows: dict[str, bytes] = {}
        self._pages: dict[str, Callable[[Request], tuple[int, bytes, bytes]]] = {
            "": self._root,
            "/models": self._list,
            "/health": self._health,
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/metrics": self._scrape,
        }

    def get(self, path: str, request: Request) -> tuple[int, bytes, bytes]:
        """Return status, content type and body of a page.

        Args:
            path: normal, one of ``paths.PAGES``.
            request: for its headers and peer.

        Raises:
            ServiceUnavailable: not ready yet.
        """
        return self._pages[path](request)

    def model(self, name: str) -> bytes | None:
        """Return the row of one model, or ``None``; ``x`` and ``x:latest`` are one model."""
        self._render_models()
        return self._rows.get(name) or self._rows.get(name.removesuffix(":latest"))

    def _root(self, _: Request) -> tuple[int, bytes, bytes]:
        base_url = f"{self._base_url()}/v1"
        text = f"Nexus {__version__} is running. OpenAI clients set their base URL to {base_url}\n"
        return 200, b"text/plain; charset=utf-8", text.encode()

    def _list(self, _: Request) -> tuple[int, bytes, bytes]:
        return 200, _JSON, self._render_models()

    def _render_models(self) -> bytes:
        """Render once per snapshot: the list must not cost more with more offline backends."""
        snapshot = self._registry.snapshot
        if self._models is None or self._models[0] is not snapshot:
            rows = self._registry.model_rows()
            self._rows = {row.id: msgspec.json.encode(row) for row in rows}
            body = b'{"object":"list","data":[' + b",".join(self._rows.values()) + b"]}"
            self._models = (snapshot, body)
        return self._models[1]

    def _health(self, request: Request) -> tuple[int, bytes, bytes]:
        snapshot = self._registry.snapshot
        healthy = sum(backend.status is BackendStatus.HEALTHY for backend in snapshot.backends.values())
        total = len(snapshot.backends)
        backends: dict[str, Any] = {"total": total, "healthy": healthy, "unhealthy": total - healthy}
        if request.query == "verbose=1" and _is_local(request):
            backends["items"] = self._registry.views()
        status = "unhealthy" if not healthy else "healthy" if healthy == total else "degraded"
        body = {
            "status": status,
            "version": __version__,
            "uptime_seconds": round(self._clock.now() - self._lifecycle.started, 3),
            "backends": backends,
            "models": len(snapshot.index),
        }
        return 200, _JSON, msgspec.json.encode(body)

    def _live(self, _: Request) -> tuple[int, bytes, bytes]:
        return 200, _JSON, b'{"status":"live"}'

    def _ready(self, _: Request) -> tuple[int, bytes, bytes]:
        if not self._lifecycle.ready:
            raise ServiceUnavailable("The gateway is not ready.", headers=(("Retry-After", "1"),))
        return 200, _JSON, b'{"status":"ready"}'

    def _scrape(self, request: Request) -> tuple[int, bytes, bytes]:
        content_type, body = self._metrics.render((request.header(b"accept") or b"").decode("latin-1"))
        return 200, content_type, body


def _is_local(request: Request) -> bool:
    """Tell whether the request was made on this machine and came straight here."""
    if request.peer is None or any(request.header(name) is not None for name in _PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
