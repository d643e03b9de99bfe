"""The routes below ``/admin``. Imported when the first request asks for one of them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexus.admin.answers import JSON, NO_STORE, body, flag, no_body, parameters, reply
from nexus.admin.live_routes import LiveRoutes
from nexus.admin.parts import AdminParts
from nexus.admin.request_routes import RequestRoutes
from nexus.errors import MethodNotAllowed, NotFound, RequestError, ServerFault
from nexus.protocol.error_body import render


def make_app(parts: AdminParts) -> Starlette:
    """Make the application.

    Args:
        parts: what is behind its routes.
    """
    endpoints = _Backends(parts)
    one = "/admin/backends/{reference:path}"
    return Starlette(
        routes=[
            Route("/admin/backends", endpoints.backends, methods=["GET", "POST"]),
            Route("/admin/backends/", endpoints.backends, methods=["GET", "POST"]),
            Route(f"{one}/check", endpoints.check, methods=["POST"]),
            Route(one, endpoints.backend, methods=["GET", "PATCH", "DELETE"]),
            Route("/admin/detect", endpoints.detect, methods=["POST"]),
            *RequestRoutes(parts).routes(),
            *LiveRoutes(parts).routes(),
        ],
        exception_handlers={
            RequestError: _refusal,
            HTTPException: _no_route,
            Exception: _failure,
        },
    )


class _Backends:
    """One method for each path."""

    def __init__(self, parts: AdminParts) -> None:
        self._operations = parts.operations
        self._detection = parts.detection

    async def backends(self, request: Request) -> Response:
        """List, or add."""
        parameters(request)
        if request.method != "POST":
            return reply({"object": "list", "data": self._operations.views()})
        view = await self._operations.add(await body(request))
        return reply(view, 201)

    async def backend(self, request: Request) -> Response:
        """Show, change or remove."""
        reference = request.path_params["reference"]
        if request.method == "PATCH":
            parameters(request)
            return reply(await self._operations.change(reference, await body(request)))
        if request.method == "DELETE":
            drain = flag(parameters(request, ("drain",)), "drain")
            gone, view = await self._operations.remove(reference, drain=drain)
            return reply({"deleted": gone, **view}, 200 if gone else 202)
        parameters(request)
        return reply(self._operations.view(reference))

    async def check(self, request: Request) -> Response:
        """Ask a backend now."""
        parameters(request)
        await no_body(request)
        return reply(await self._operations.check(request.path_params["reference"]))

    async def detect(self, request: Request) -> Response:
        """Say what a server is, and add nothing."""
        parameters(request)
        return reply(await self._detection.detect(await body(request)))


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101  registered for this class
    return Response(render(error), error.status, {**NO_STORE, **dict(error.headers)}, JSON)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class
    path = request.url.path[:200]
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        refused: RequestError = MethodNotAllowed(
            f"{request.method[:20]} is not allowed on '{path}': use {allowed}.", headers=(("Allow", allowed),)
        )
    else:
        refused = NotFound(f"There is nothing at '{path}'. GET /admin/backends lists the backends.")
    return await _refusal(request, refused)


async def _failure(request: Request, _: Exception) -> Response:
    """Say that it went wrong; what went wrong is raised on, and the server logs it."""
    return await _refusal(request, ServerFault("Nexus failed to handle this request."))
