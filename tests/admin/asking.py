"""Asking a running gateway's administration."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.client import RawClient, RawReply
from tests.support.gateway import RunningGateway

JSON = {"Content-Type": "application/json"}


class Admin:
    """Requests to ``/admin/backends``."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway

    async def list(self) -> dict[str, dict[str, Any]]:
        """Every backend by its name."""
        reply = await self.gateway.get("/admin/backends")
        assert reply.status == 200, reply.body
        return {view["name"]: view for view in reply.json["data"]}

    async def add(self, **fields: Any) -> RawReply:  # noqa: ANN401  JSON is anything
        return await self.gateway.request("POST", "/admin/backends", fields, JSON)

    async def patch(self, reference: str, **fields: Any) -> RawReply:  # noqa: ANN401  JSON is anything
        return await self.gateway.request("PATCH", f"/admin/backends/{reference}", fields, JSON)

    async def delete(self, reference: str) -> RawReply:
        return await self.gateway.request("DELETE", f"/admin/backends/{reference}")

    async def check(self, reference: str) -> RawReply:
        return await self.gateway.request("POST", f"/admin/backends/{reference}/check")


class Watching:
    """One reader of ``/admin/events``."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._taken = 0

    async def next(self, name: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:  # noqa: ANN401
        """Return the data of the next event of that name that is wanted."""
        while True:
            event = await self._event()
            if event[0] == name and wanted(event[1]):
                return event[1]

    async def ended(self) -> bool:
        """Read to the end of the stream; tell whether it ended properly."""
        return (await self._client.read_reply()).complete

    async def _event(self) -> tuple[str, Any]:
        while True:
            reply = await self._client.read_reply(until=self._taken + 1)
            assert reply.status == 200, reply.body
            end = reply.body.find(b"\n\n", self._taken)
            if end < 0:
                assert not reply.complete
                await self._client.read_reply(until=len(reply.body) + 1)
                continue
            lines = reply.body[self._taken : end].decode().split("\n")
            self._taken = end + 2
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def watching(gateway: RunningGateway, topics: str = "") -> AsyncIterator[Watching]:
    """Look at what moves, as a page does."""
    async with gateway.client() as client:
        client.send("GET", f"/admin/events?topics={topics}" if topics else "/admin/events")
        yield Watching(client)
