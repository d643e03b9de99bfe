"""A probe over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from nexus.backends import HttpProbe
from nexus.domain import BackendSpec, Origin, Secret
from nexus.http.client import HttpClient
from nexus.tasks import DeadlineWatch, SystemClock, TaskOwner


@asynccontextmanager
async def probing(url: str, key: str = "") -> AsyncIterator[HttpProbe]:
    """Make a probe of the server at ``url`` and close what it used."""
    clock, tasks = SystemClock(), TaskOwner("test")
    watch = DeadlineWatch(clock)
    client = HttpClient(clock=clock, watch=watch, tasks=tasks)
    parts = urlsplit(url)
    origin = Origin("http", parts.hostname or "", parts.port or 80)
    spec = BackendSpec(id="b", name="b", origin=origin, key=Secret(key) if key else None)
    try:
        yield HttpProbe(client, spec, 10.0)
    finally:
        await client.close()
        await tasks.close()
        watch.close()
