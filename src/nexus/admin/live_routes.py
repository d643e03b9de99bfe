"""``/admin/events``: what moves, as server-sent events."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from nexus.admin.answers import NO_STORE, parameters
from nexus.admin.parts import AdminParts
from nexus.config.kinds import suggestion
from nexus.errors import InvalidRequest, ServiceUnavailable


class LiveRoutes:
    """What can be looked at while it moves.

    Args:
        parts: what is behind the route.
    """

    def __init__(self, parts: AdminParts) -> None:
        self._live = parts.live

    def routes(self) -> list[Route]:
        """Return the table."""
        return [Route("/admin/events", self.events, methods=["GET"])]

    async def events(self, request: Request) -> Response:
        """Stream until the reader leaves."""
        asked = parameters(request, ("topics",)).get("topics", "")
        known = self._live.topics
        names = frozenset(filter(None, asked.split(","))) or frozenset(known)
        for name in names - frozenset(known):
            raise InvalidRequest(f"There is no topic '{name[:60]}'{suggestion(name, known)}.", param="topics")
        if self._live.full:
            raise ServiceUnavailable(
                "Too many are looking already, or Nexus is ending.", headers=(("Retry-After", "5"),)
            )
        # Proxies that collect before they pass on (nginx) are asked not to.
        headers = {**NO_STORE, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._live.frames(names), 200, headers, "text/event-stream")
