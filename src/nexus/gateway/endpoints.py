"""The front's application: parse and delegate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote

import msgspec

from nexus.domain import replace
from nexus.errors import LoopDetected, ModelNotFound, NotFound, RequestError, ServiceUnavailable
from nexus.gateway import paths
from nexus.gateway.dispatch import Dispatcher
from nexus.gateway.doors import Doors
from nexus.gateway.exchange import JSON_TYPE, Exchange
from nexus.gateway.exchanges import Exchanges
from nexus.gateway.keepalive import KeepAlive
from nexus.gateway.pages import Page, Pages, Site
from nexus.http.server import Application, Reply, Request
from nexus.observe.tracing import Tracer
from nexus.protocol import envelope, requirements
from nexus.protocol.error_body import render
from nexus.protocol.headers import (
    MAX_GATEWAYS,
    X_NEXUS_REQUEST_ID,
    X_NEXUS_VIA,
    X_REQUEST_ID,
    Header,
    passed_gateways,
    request_id,
)
from nexus.protocol.stream_usage import asking_usage
from nexus.registry.registry import Registry
from nexus.stepping import FINISHED
from nexus.tasks import Clock, DeadlineWatch

_log: Final = logging.getLogger("nexus.gateway")

_VIA: Final = X_NEXUS_VIA.lower()
_REQUEST_ID: Final = X_REQUEST_ID.lower()
_BUSY: Final = (("Retry-After", "1"),)


class GatewaySettings(msgspec.Struct, frozen=True):
    """What the configuration says to the request path.

    Attributes:
        doors: who may come in.
        gateway_id: this gateway's own id, which a request must not carry yet.
        max_concurrent_requests: 0 is unbounded.
        sse_keepalive_seconds: 0 is off.
        ask_stream_usage: backends are asked for the tokens of streams.
    """

    doors: Doors
    gateway_id: str
    max_concurrent_requests: int = 0
    sse_keepalive_seconds: float = 0.0
    ask_stream_usage: bool = False


class RunState(Protocol):
    """What the composition root knows of the process."""

    @property
    def draining(self) -> bool:
        """New requests are turned away."""
        ...


class Gateway:
    """Answers every path (an ``Application`` of ``http.server``).

    Args:
        registry: for the default model.
        dispatcher: runs inference requests.
        exchanges: records them.
        pages: everything that is answered from memory.
        settings: doors and limits.
        state: whether Nexus is draining.
        clock, watch: time.
        make_id: makes a request id.
        base_url: what clients set, without ``/v1``; known once the port is bound.
        admin: answers ``/admin`` and everything below it, with doors of its own.
        tracer: gives each request its identity in a trace, while tracing is on.
        site: pages for browsers; without it the root is plain text for everybody.
    """

    __slots__ = (
        "_admin",
        "_base_url",
        "_clock",
        "_dispatcher",
        "_doors",
        "_exchanges",
        "_make_id",
        "_pages",
        "_registry",
        "_site",
        "_state",
        "_tracer",
        "_watch",
        "settings",
    )

    def __init__(  # noqa: PLR0913  # the request path meets every package here, by keyword
        self,
        *,
        registry: Registry,
        dispatcher: Dispatcher,
        exchanges: Exchanges,
        pages: Pages,
        settings: GatewaySettings,
        state: RunState,
        clock: Clock,
        watch: DeadlineWatch,
        make_id: Callable[[], str],
        base_url: Callable[[], str],
        admin: Application | None = None,
        tracer: Tracer | None = None,
        site: Site | None = None,
    ) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._exchanges = exchanges
        self._pages = pages
        self.settings = settings
        self._doors = settings.doors
        self._state = state
        self._clock = clock
        self._watch = watch
        self._make_id = make_id
        self._base_url = base_url
        self._admin = admin
        self._tracer = tracer
        self._site = site

    def reconfigure(self, settings: GatewaySettings) -> None:
        """Go by other doors and limits from the next request on."""
        self.settings = settings
        self._doors = settings.doors

    def admit(self, request: Request) -> None:
        """Check doors and path on the head alone, before a body is taken.

        Raises:
            RequestError: the request is refused.
        """
        try:
            self._check(request)
        except RequestError as error:
            name = request_id(request.header(_REQUEST_ID), self._make_id)
            error.headers = (*error.headers, (X_NEXUS_REQUEST_ID.decode(), name))
            raise

    def _check(self, request: Request) -> None:
        doors, memo = self._doors, request.memo
        if memo is not None and memo.passed is doors:
            # The very same head has passed the very same doors.
            self._check_room(request)
            return
        if doors.loopback:
            doors.check_host(request)
        if b"origin" in request.fields and self._admin_of(request) is None:
            doors.check_origin(request)
        if request.method == "OPTIONS" and self._admin_of(request) is None:
            return
        surface = paths.find_surface(request.path)
        if surface is not None and request.method == "POST":
            if doors.keys:
                doors.check_key(request)
            self._check_room(request)
            if memo is not None:
                memo.passed = doors
            return
        self._check_page(request)

    def _check_page(self, request: Request) -> None:
        doors = self._doors
        if (admin := self._admin_of(request)) is not None:
            admin.admit(request)
        elif paths.check(request.method, request.path, self._base_url).startswith("/models"):
            if _VIA in request.fields:
                self._check_loop(request.fields[_VIA])
            doors.check_key(request)

    def handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None] | None:
        """Answer from memory, begin to relay, or return what answers bit by bit: metrics, administration."""
        cors = self._doors.cors_headers(request) if self._doors.cors_origins else ()
        if request.method == "OPTIONS" and self._admin_of(request) is None:
            reply.send(204, list(self._doors.preflight_headers(request)), b"")
            return None
        surface = paths.find_surface(request.path)
        if surface is not None:
            name = request_id(request.fields.get(_REQUEST_ID), self._make_id)
            exchange = Exchange(self._exchanges, request, reply, surface, name, self._clock.wall(), cors)
            if self._tracer is not None:
                exchange.trail.trace = self._tracer.begin(request.fields)
            exchange.run(self._serve(exchange))
            return None
        if (admin := self._admin_of(request)) is not None:
            return admin.handle(request, reply)
        path = paths.normal(request.path)
        if path == paths.METRICS:
            return self._scrape(request, reply, cors)
        try:
            page = self._page(path, request)
        except RequestError as error:
            own = [(name.encode(), value.encode()) for name, value in error.headers]
            reply.send(error.status, [JSON_TYPE, *own, *cors], render(error))
            return None
        _send_page(request, reply, page.status, [*page.headers, *cors], page.body)
        return None

    async def _serve(self, exchange: Exchange) -> None:
        with exchange:
            request, surface = exchange.request, exchange.surface
            body = envelope.read(
                request.body,
                surface,
                default_model=self._registry.snapshot.rules.default_model,
                content_encoding=request.fields.get(b"content-encoding"),
            )
            exchange.model = body.model
            needs = requirements.of(body, surface)
            if _VIA in request.fields:
                needs = replace(needs, passed=passed_gateways(request.fields[_VIA]))
            if self.settings.ask_stream_usage:
                body = asking_usage(body, surface)
            seconds = self.settings.sse_keepalive_seconds
            if seconds and needs.stream:
                with KeepAlive(exchange, seconds, self._clock, self._watch):
                    await self._dispatcher.run(exchange, body, needs)
            else:
                await self._dispatcher.run(exchange, body, needs)
        await FINISHED

    def _admin_of(self, request: Request) -> Application | None:
        return self._admin if paths.is_admin(request.path) else None

    def _check_room(self, request: Request) -> None:
        if self._state.draining:
            raise ServiceUnavailable("The gateway is shutting down. Try again in a moment.", headers=_BUSY)
        if _VIA in request.fields:
            self._check_loop(request.fields[_VIA])
        limit = self.settings.max_concurrent_requests
        if limit and len(self._exchanges.running) >= limit:
            raise ServiceUnavailable(
                f"The gateway is at its limit of {limit} concurrent requests. Try again in a moment.",
                headers=_BUSY,
            )

    def _check_loop(self, passed: bytes) -> None:
        ids = passed_gateways(passed)
        if self.settings.gateway_id in ids:
            raise LoopDetected(
                "This request has passed this gateway before: a backend entry points back at it. "
                "Remove that backend."
            )
        if len(ids) > MAX_GATEWAYS:
            raise LoopDetected(
                f"This request has passed more than {MAX_GATEWAYS} gateways: a backend entry of one of them "
                "points back. Remove that backend."
            )

    async def _scrape(self, request: Request, reply: Reply, cors: Sequence[Header]) -> None:
        content_type, body = await self._pages.scrape(request)
        if not reply.departed:
            _send_page(request, reply, 200, [(b"Content-Type", content_type), *cors], body)

    def _page(self, path: str, request: Request) -> Page:
        if self._site is not None and (page := self._site.find(request)) is not None:
            return page
        if request.path.startswith(paths.ASSETS):
            raise NotFound("There is no dashboard here: [admin] enabled is false.")
        if path.startswith(paths.MODEL_PREFIX):
            name = unquote(path[len(paths.MODEL_PREFIX) :], errors="replace")
            row = self._pages.model(name, request.fields.get(_VIA))
            if row is None:
                raise ModelNotFound(
                    f"The model '{name[:200]}' does not exist. GET /v1/models lists what is served.",
                    param="model",
                )
            return Page(200, row, (JSON_TYPE,))
        status, content_type, body = self._pages.get(path, request)
        return Page(status, body, ((b"Content-Type", content_type),))


def _send_page(request: Request, reply: Reply, status: int, headers: list[Header], body: bytes) -> None:
    reply.send(status, headers, body)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s %s %d", request.method, request.path, status)
