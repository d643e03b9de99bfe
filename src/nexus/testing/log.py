"""What a fake backend has seen, and waiting for more of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from nexus.testing.models import RecordedRequest

WAIT_SECONDS: Final = 10.0


class RequestLog:
    """Counts and records of one backend; every wait is for an event, never for time.

    Attributes:
        requests: everything received, in order.
        served: how often each kind of fault was played; ``"none"`` counts plain replies.
        in_flight: requests whose reply has not ended.
        peak_in_flight: the most there ever were at once.
        departures: clients that left before their reply ended.
        connections: sockets ever accepted.
        open_sockets: connections open now.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: list[RecordedRequest] = []
        self.served: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.departures = 0
        self.connections = 0
        self.open_sockets = 0
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def surface_requests(self) -> list[RecordedRequest]:
        """The requests to OpenAI surfaces, without probes."""
        return [request for request in self.requests if request.surface]

    @property
    def probe_requests(self) -> list[RecordedRequest]:
        """The requests to everything else: model lists, health, native paths."""
        return [request for request in self.requests if not request.surface]

    async def wait_for_requests(self, count: int = 1, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until ``count`` requests to surfaces have arrived.

        Raises:
            TimeoutError: they did not within ``seconds``.
        """
        await self.wait_until(
            lambda: len(self.surface_requests) >= count, f"{count} requests", seconds=seconds
        )

    async def wait_for_departure(self, count: int = 1, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until ``count`` clients have left before their reply ended."""
        await self.wait_until(lambda: self.departures >= count, f"{count} departures", seconds=seconds)

    async def wait_until_idle(self, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no reply is running."""
        await self.wait_until(lambda: not self.in_flight, "no reply running", seconds=seconds)

    async def wait_until_closed(self, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no connection is open."""
        await self.wait_until(lambda: not self.open_sockets, "no connection open", seconds=seconds)

    async def wait_until(self, met: Callable[[], bool], what: str, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until ``met()``, looked at whenever a request or a connection begins or ends.

        Raises:
            TimeoutError: naming ``what``, after ``seconds``.
        """
        if met():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (met, future)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            raise TimeoutError(f"{self.name}: waited {seconds} s for {what}") from None
        finally:
            self._waiters.remove(entry)

    def changed(self) -> None:
        """Wake those whose condition holds now."""
        for met, future in self._waiters:
            if not future.done() and met():
                future.set_result(None)
