"""A whole gateway on real sockets, built by the composition root from a configuration file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.client import RawClient, RawReply

from nexus.config.load import load
from nexus.domain import Outcome
from nexus.gateway.trail import Trail
from nexus.observe.writer import LineWriter
from nexus.server.compose import Nexus
from nexus.testing import FakeBackend

QUICK_CHECKS = "[health_check]\ninterval_seconds = 30\ntimeout_seconds = 5\n"


class RunningGateway:
    """What a test does to a gateway and sees of it."""

    def __init__(self, nexus: Nexus, log: Path) -> None:
        self.nexus = nexus
        self.log = log
        self.outcomes: list[Outcome] = []
        self._changed = asyncio.Event()
        published = nexus.exchanges._publish

        def publish(outcome: Outcome, trail: Trail) -> None:
            published(outcome, trail)
            self.outcomes.append(outcome)
            self._changed.set()

        nexus.exchanges._publish = publish

    def client(self) -> RawClient:
        return RawClient("127.0.0.1", self.nexus.port)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] = b"",
        headers: dict[str, str] | None = None,
    ) -> RawReply:
        async with self.client() as client:
            client.send(method, path, body, headers)
            return await client.read_reply()

    async def get(self, path: str, **headers: str) -> RawReply:
        return await self.request("GET", path, headers=headers)

    async def chat(
        self,
        model: str = "m",
        *,
        stream: bool = False,
        headers: dict[str, str] | None = None,
        **fields: Any,  # noqa: ANN401 - any field of a chat
    ) -> RawReply:
        return await self.request(
            "POST", "/v1/chat/completions", chat_body(model, stream=stream, **fields), headers
        )

    async def outcome(self, number: int = 1) -> Outcome:
        """Wait for the outcome with this number, counted from 1."""
        await self.until(lambda: len(self.outcomes) >= number)
        self.nexus.observed.deliver()
        return self.outcomes[number - 1]

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for a condition; the deadline only catches hanging."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  # counters of the registry have no event
                await asyncio.sleep(0.005)

    def at_rest(self) -> bool:
        """Nothing is running and no counter is above zero."""
        views = self.nexus.registry.views()
        return not self.nexus.exchanges.running and not any(
            view.in_flight or any(pair.in_flight for pair in view.models) for view in views
        )


def chat_body(model: str = "m", *, stream: bool = False, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """A small chat request."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **fields}
    if stream:
        body["stream"] = True
    return body


def backend_toml(*backends: FakeBackend, **extra: str) -> str:
    """``[[backends]]`` tables for fakes; ``extra`` maps a backend's name to more lines."""
    tables = []
    for backend in backends:
        kind = f'type = "{backend.type}"\n'
        more = extra.get(backend.name, "")
        tables.append(f'[[backends]]\nname = "{backend.name}"\nurl = "{backend.url}"\n{kind}{more}\n')
    return "\n".join(tables)


Serve = Callable[..., Awaitable[RunningGateway]]


@asynccontextmanager
async def serve(
    toml: str, folder: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[RunningGateway]:
    """Start a gateway on a free loopback port and end it with everything that it holds."""
    path = folder / "nexus.toml"
    path.write_text(toml)
    # No test looks at this machine's ports or asks the network, unless its own file says so.
    quiet = {} if "[discovery]" in toml else {"discovery.enabled": False}
    loaded = load(path, environ or {}, {"server.port": "0", **quiet})
    log = folder / "nexus.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = LineWriter(descriptor)
    # Without the proxies of whoever runs the tests, and without what they keep.
    nexus = Nexus(loaded, writer, {**(environ or {}), "NEXUS_STATE_DIR": str(folder / "state")})
    try:
        await nexus.start()
        await nexus.first_round()
        yield RunningGateway(nexus, log)
    finally:
        await nexus.close()
        writer.close()
        os.close(descriptor)
