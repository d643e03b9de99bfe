"""The routes below ``/admin``. Imported when the first request asks for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexus.admin.operations import Operations
from nexus.config.kinds import quoted, suggestion
from nexus.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestError,
    ServerFault,
    UnsupportedMediaType,
)
from nexus.protocol.error_body import render

_JSON: Final = "application/json"
_NO_STORE: Final = {"Cache-Control": "no-store"}
_WORDS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


def make_app(operations: Operations) -> Starlette:
    """Make the application.

    Args:
        operations: what its routes do.
    """
    endpoints = _Endpoints(operations)
    one = "/admin/backends/{reference:path}"
    return Starlette(
        routes=[
            Route("/admin/backends", endpoints.backends, methods=["GET", "POST"]),
            Route("/admin/backends/", endpoints.backends, methods=["GET", "POST"]),
            Route(f"{one}/check", endpoints.check, methods=["POST"]),
            Route(one, endpoints.backend, methods=["GET", "PATCH", "DELETE"]),
        ],
        exception_handlers={
            RequestError: _refusal,
            HTTPException: _no_route,
            Exception: _failure,
        },
    )


class _Endpoints:
    """One method for each path."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def backends(self, request: Request) -> Response:
        """List, or add."""
        _query(request, ())
        if request.method != "POST":
            return _reply({"object": "list", "data": self._operations.views()})
        view = await self._operations.add(await _body(request))
        return _reply(view, 201)

    async def backend(self, request: Request) -> Response:
        """Show, change or remove."""
        reference = request.path_params["reference"]
        if request.method == "PATCH":
            _query(request, ())
            return _reply(await self._operations.change(reference, await _body(request)))
        if request.method == "DELETE":
            drain = _query(request, ("drain",)).get("drain", False)
            gone, view = await self._operations.remove(reference, drain=drain)
            return _reply({"deleted": gone, **view}, 200 if gone else 202)
        _query(request, ())
        return _reply(self._operations.view(reference))

    async def check(self, request: Request) -> Response:
        """Ask a backend now."""
        _query(request, ())
        if (await request.body()).strip() not in (b"", b"{}"):
            raise InvalidRequest("A check takes no body.")
        return _reply(await self._operations.check(request.path_params["reference"]))


def _reply(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, dict(_NO_STORE), _JSON)


async def _body(request: Request) -> Any:  # noqa: ANN401  JSON is anything
    if "content-encoding" in request.headers:
        raise UnsupportedMediaType("A body for the administration is not compressed.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON:
        raise UnsupportedMediaType(f"Send JSON, with 'Content-Type: {_JSON}'.")
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None


def _query(request: Request, known: tuple[str, ...]) -> dict[str, bool]:
    """Read flags; one that is not understood must not be passed over."""
    flags: dict[str, bool] = {}
    for name, value in parse_qsl(request.url.query, keep_blank_values=True):
        if name not in known:
            hint = suggestion(name, known) if known else "; there are none here"
            raise InvalidRequest(f"There is no parameter {quoted(name)}{hint}.")
        if value.lower() not in _WORDS or name in flags:
            raise InvalidRequest(f"{name}: expected true or false, once.", param=name)
        flags[name] = _WORDS[value.lower()]
    return flags


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101  registered for this class
    return Response(render(error), error.status, {**_NO_STORE, **dict(error.headers)}, _JSON)


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
