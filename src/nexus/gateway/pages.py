"""Everything that is answered from memory: health, models, metrics, the root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import msgspec

from nexus import __version__
from nexus.domain import BackendStatus, BackendType
from nexus.errors import ServiceUnavailable
from nexus.gateway.exchanges import Exchanges
from nexus.gateway.model_list import ModelList
from nexus.http.server import Request
from nexus.protocol.headers import X_NEXUS_VIA, Header, passed_gateways
from nexus.registry.registry import Registry
from nexus.registry.snapshot import Snapshot
from nexus.tasks import Clock

_JSON: Final = b"application/json"
_VIA: Final = X_NEXUS_VIA.lower()


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


class Page(msgspec.Struct, frozen=True):
    """A page with headers of its own."""

    status: int
    body: bytes
    headers: tuple[Header, ...]


class Site(Protocol):
    """Pages for browsers."""

    def find(self, request: Request) -> Page | None:
        """Return what stands at a path, or ``None`` where it is none of these pages.

        Raises:
            RequestError: it would be one of them, and there is none.
        """
        ...


class Metrics(Protocol):
    """Renders the metrics page."""

    def render(self, accept: str) -> tuple[bytes, Iterator[bytes]]:
        """Return content type and body, in pieces that take a moment each."""
        ...


class Pages:
    """Answers ``GET`` and ``HEAD`` without I/O.

    Args:
        registry: the truth.
        lifecycle: uptime and readiness.
        metrics: the metrics page.
        exchanges: how many requests are running.
        gateway_id: our own id.
        clock: for the uptime.
        base_url: shown at the root, without ``/v1``.
        may_see_backends: tells by a request's head whether its sender may administer.
    """

    __slots__ = (
        "_base_url",
        "_clock",
        "_exchanges",
        "_gateway_id",
        "_lifecycle",
        "_may_see_backends",
        "_metrics",
        "_models",
        "_pages",
        "_registry",
    )

    def __init__(
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        metrics: Metrics,
        *,
        exchanges: Exchanges,
        gateway_id: str,
        clock: Clock,
        base_url: Callable[[], str],
        may_see_backends: Callable[[Request], bool],
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._clock = clock
        self._base_url = base_url
        self._may_see_backends = may_see_backends
        self._exchanges = exchanges
        self._gateway_id = gateway_id
        self._models = ModelList(registry, gateway_id)
        self._pages: dict[str, Callable[[Request], tuple[int, bytes, bytes]]] = {
            "": self._root,
            "/models": self._list,
            "/health": self._health,
            "/health/live": self._live,
            "/health/ready": self._ready,
        }

    def get(self, path: str, request: Request) -> tuple[int, bytes, bytes]:
        """Return status, content type and body of a page.

        Args:
            path: normal, one of ``paths.PAGES`` but the metrics.
            request: for its headers and peer.

        Raises:
            ServiceUnavailable: not ready yet.
        """
        return self._pages[path](request)

    async def scrape(self, request: Request) -> tuple[bytes, bytes]:
        """Return content type and body of the metrics page, and let requests run while it is written."""
        content_type, pieces = self._metrics.render((request.header(b"accept") or b"").decode("latin-1"))
        written = []
        for piece in pieces:
            written.append(piece)
            await self._clock.sleep(0)
        return content_type, b"".join(written)

    def model(self, name: str, via: bytes | None) -> bytes | None:
        """Return the row of one model, or ``None``; ``x`` and ``x:latest`` are one model.

        Args:
            name: as it was asked for.
            via: the request's ``X-Nexus-Via``.
        """
        rows = self._models.get(via).rows
        return rows.get(name) or rows.get(name.removesuffix(":latest"))

    def _root(self, _: Request) -> tuple[int, bytes, bytes]:
        base_url = f"{self._base_url()}/v1"
        text = f"Nexus {__version__} is running. OpenAI clients set their base URL to {base_url}\n"
        return 200, b"text/plain; charset=utf-8", text.encode()

    def _list(self, request: Request) -> tuple[int, bytes, bytes]:
        return 200, _JSON, self._models.get(request.fields.get(_VIA)).page

    def _health(self, request: Request) -> tuple[int, bytes, bytes]:
        snapshot = self._registry.snapshot
        healthy = sum(backend.status is BackendStatus.HEALTHY for backend in snapshot.backends.values())
        total = len(snapshot.backends)
        backends: dict[str, Any] = {"total": total, "healthy": healthy, "unhealthy": total - healthy}
        if request.query == "verbose=1" and self._may_see_backends(request):
            backends["items"] = self._registry.views()
        status = "unhealthy" if not healthy else "healthy" if healthy == total else "degraded"
        body = {
            "status": status,
            "version": __version__,
            "uptime_seconds": round(self._clock.now() - self._lifecycle.started, 3),
            "backends": backends,
            "models": len(snapshot.index),
            "gateway_id": self._gateway_id,
            "in_flight": self._in_flight(request.fields.get(_VIA)),
            "slots": _slots(snapshot),
        }
        return 200, _JSON, msgspec.json.encode(body)

    def _in_flight(self, via: bytes | None) -> int:
        """Count what is running; a gateway that asks knows of its own requests and is told of the others."""
        running = self._exchanges.running
        if via is None:
            return len(running)
        passed = frozenset(passed_gateways(via))
        ways = (passed_gateways(exchange.request.fields.get(_VIA)) for exchange in running)
        return sum(passed.isdisjoint(way) for way in ways)

    def _live(self, _: Request) -> tuple[int, bytes, bytes]:
        return 200, _JSON, b'{"status":"live"}'

    def _ready(self, _: Request) -> tuple[int, bytes, bytes]:
        if not self._lifecycle.ready:
            raise ServiceUnavailable("The gateway is not ready.", headers=(("Retry-After", "1"),))
        return 200, _JSON, b'{"status":"ready"}'


def _slots(snapshot: Snapshot) -> int:
    """Return how many requests our own servers take at once.

    Those of further gateways are not counted: each would count ours in turn.
    """
    return sum(
        backend.slots
        for backend in snapshot.backends.values()
        if backend.status is BackendStatus.HEALTHY
        and not backend.draining
        and backend.type is not BackendType.NEXUS
    )
