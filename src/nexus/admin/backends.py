"""What the administration needs of the server around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from nexus.backends.base import Report
from nexus.backends.detect import Verdict
from nexus.domain import Backend, BackendSpec, BackendType

Examine = Callable[[BackendSpec], Awaitable[Verdict | None]]
"""Asks a server what it is; ``None`` when it does not answer."""


class Look(Protocol):
    """What a server said when it was asked once."""

    @property
    def report(self) -> Report:
        """Its status, and why."""
        ...


class Backends(Protocol):
    """The one path by which backends come, change and go: the server's fleet."""

    def put(self, spec: BackendSpec, kind: BackendType | None = None) -> Backend:
        """Add a backend, or give a known one a new specification."""
        ...

    def remove(self, backend_id: str, *, drain: bool = True) -> bool:
        """Take a backend out; with ``drain`` its running requests end first."""
        ...

    def drain(self, backend_id: str, draining: bool) -> bool:
        """Let a backend take no new requests, or take them again."""
        ...

    def leaving(self, backend_id: str) -> bool:
        """Tell whether a backend is forgotten as soon as its last request ends."""
        ...

    async def look(self, spec: BackendSpec) -> Look | None:
        """Ask a server once, and change nothing; ``None`` when it is not known what it is."""
        ...

    async def check(self, backend_id: str) -> Backend | None:
        """Ask a backend from scratch, and return it as it is then."""
        ...
