"""``/admin/requests``, ``/admin/explain`` and ``/admin/traffic``."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexus.admin.answers import no_body, parameters, raw_body, reply, whole
from nexus.admin.parts import AdminParts
from nexus.admin.requests import OUTCOMES, PAGE, PAGE_MAX, Filter
from nexus.errors import InvalidRequest
from nexus.observe.traffic import BUCKET_SECONDS

_FILTERS: Final = ("limit", "before", "model", "backend", "outcome", "q")
_SEQ_MAX: Final = 2**53


class RequestRoutes:
    """What can be asked about requests.

    Args:
        parts: what is behind the routes.
    """

    def __init__(self, parts: AdminParts) -> None:
        self._requests = parts.requests
        self._traffic = parts.traffic

    def routes(self) -> list[Route]:
        """Return the table."""
        one = "/admin/requests/{request_id:path}"
        return [
            Route("/admin/requests", self.page, methods=["GET"]),
            Route("/admin/requests/", self.page, methods=["GET"]),
            Route(f"{one}/cancel", self.cancel, methods=["POST"]),
            Route(one, self.detail, methods=["GET"]),
            Route("/admin/explain", self.explain, methods=["POST"]),
            Route("/admin/traffic", self.traffic, methods=["GET"]),
        ]

    async def page(self, request: Request) -> Response:
        """List."""
        found = parameters(request, _FILTERS)
        outcome = found.get("outcome", "")
        if outcome and outcome not in OUTCOMES:
            raise InvalidRequest(f"outcome: expected {' or '.join(OUTCOMES)}.", param="outcome")
        wanted = Filter(
            limit=whole(found, "limit", PAGE, PAGE_MAX),
            before=whole(found, "before", 0, _SEQ_MAX) or None,
            model=found.get("model", ""),
            backend=found.get("backend", ""),
            outcome=outcome,
            q=found.get("q", ""),
        )
        return reply(self._requests.page(wanted))

    async def detail(self, request: Request) -> Response:
        """Show one, with its decisions."""
        parameters(request)
        return reply(self._requests.detail(request.path_params["request_id"]))

    async def cancel(self, request: Request) -> Response:
        """End a running one."""
        parameters(request)
        await no_body(request)
        return reply(self._requests.cancel(request.path_params["request_id"]), 202)

    async def explain(self, request: Request) -> Response:
        """Decide without sending."""
        surface = parameters(request, ("surface",)).get("surface", "chat")
        return reply(self._requests.explain(await raw_body(request), surface))

    async def traffic(self, request: Request) -> Response:
        """Show the last hour."""
        parameters(request)
        return reply({"seconds": BUCKET_SECONDS, "buckets": self._traffic.buckets()})
