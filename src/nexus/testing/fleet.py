"""The fleet: fake backends that live as long as a test."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from nexus.domain.backend import BackendType
from nexus.tasks import Clock, SystemClock, TaskOwner
from nexus.testing.backend import FakeBackend, Policy
from nexus.testing.dialects import DIALECTS
from nexus.testing.listener import Listener
from nexus.testing.models import FakeModel, ServerState


class FakeFleet:
    """Fake backends on real sockets, ended together.

    Use it as an asynchronous context manager::

        async with FakeFleet() as fleet:
            ollama = await fleet.add("ollama", models=["llama3:8b"])

    Args:
        clock: gives the time for delays and pace.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._tasks = TaskOwner("fake")
        self.backends: list[FakeBackend] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def add(  # noqa: PLR0913 - every option of a server in one place
        self,
        kind: str | BackendType,
        *,
        models: Iterable[FakeModel | str] = ("fake-model",),
        name: str | None = None,
        key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        version: str = "",
        router: bool = False,
        pace: float = 0.0,
        policy: Policy | None = None,
    ) -> FakeBackend:
        """Start a backend.

        Args:
            kind: a backend type.
            models: what it serves; a string is a model with default abilities.
            name: what its replies call it; by default its kind and a number.
            key: the key that it asks for.
            host: a loopback address, IPv6 too.
            port: 0 picks a free one.
            version: the server's own; ``"0.9.3"`` makes Ollama the recorded older one.
            router: llama.cpp without a model of its own.
            pace: seconds between the events of a stream.
            policy: chooses a fault for each request.

        Returns:
            The backend, listening.

        Raises:
            ValueError: no such kind.
        """
        wanted = str(kind)
        if wanted not in DIALECTS:
            raise ValueError(f"no fake of kind {wanted!r}: one of {', '.join(sorted(DIALECTS))}")
        called = name or f"{wanted}-{len(self.backends) + 1}"
        state = ServerState(called, key=key, version=version, router=router)
        listener = Listener(host, port, self._clock, self._tasks)
        backend = FakeBackend(
            DIALECTS[wanted], state, listener=listener, clock=self._clock, tasks=self._tasks
        )
        backend.set_models(models)
        backend.pace = pace
        backend.policy = policy
        await backend.start()
        self.backends.append(backend)
        return backend

    @property
    def open_sockets(self) -> int:
        """Connections open now, over all backends."""
        return sum(backend.open_sockets for backend in self.backends)

    @property
    def in_flight(self) -> int:
        """Replies running now, over all backends."""
        return sum(backend.in_flight for backend in self.backends)

    async def close(self) -> None:
        """End every backend and every task."""
        await self._tasks.close()
        for backend in self.backends:
            await backend.close()
