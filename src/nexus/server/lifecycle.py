"""Where the process stands: starting, serving, draining."""

from __future__ import annotations

from collections.abc import Callable


class Lifecycle:
    """Answers whether requests are welcome.

    Args:
        started: monotonic seconds at which the process began.
        has_backend: whether a backend is healthy now.
        needs_backend: readiness asks for one.

    Attributes:
        needs_backend: as given; it may change.
        checked: the first round of checks has ended.
        draining: new requests are turned away.
    """

    __slots__ = ("_has_backend", "_started", "checked", "draining", "needs_backend")

    def __init__(self, started: float, has_backend: Callable[[], bool], *, needs_backend: bool) -> None:
        self._started = started
        self._has_backend = has_backend
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
