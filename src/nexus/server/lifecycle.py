"""Where the process stands: starting, serving, draining."""

from __future__ import annotations

from nexus.domain import BackendStatus
from nexus.registry.registry import Registry


class Lifecycle:
    """Answers whether requests are welcome.

    Args:
        started: monotonic seconds at which the process began.
        registry: knows whether a backend is healthy.
        needs_backend: readiness asks for one.

    Attributes:
        needs_backend: as given; it may change.
        checked: the first round of checks has ended.
        draining: new requests are turned away.
    """

    __slots__ = ("_registry", "_started", "checked", "draining", "needs_backend")

    def __init__(self, started: float, registry: Registry, *, needs_backend: bool) -> None:
        self._started = started
        self._registry = registry
        self.needs_backend = needs_backend
        self.checked = False
        self.draining = False

    @property
    def started(self) -> float:
        """Monotonic seconds at which the process began."""
        return self._started

    @property
    def ready(self) -> bool:
        """Configuration loaded, first round of checks over, not draining."""
        return self.checked and not self.draining and (not self.needs_backend or self._has_backend())

    def _has_backend(self) -> bool:
        backends = self._registry.snapshot.backends.values()
        return any(backend.status is BackendStatus.HEALTHY for backend in backends)
