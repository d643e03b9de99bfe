"""Asking a running gateway's administration."""

from __future__ import annotations

from typing import Any

from tests.support.client import RawReply
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
