"""Puts the administration together: its door, what it can do, and the backends that it kept."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import msgspec

from nexus.admin.detection import Detection
from nexus.admin.door import AdminDoor, one_time_token
from nexus.admin.front import AdminApp
from nexus.admin.live import Live
from nexus.admin.operations import Operations
from nexus.admin.parts import AdminParts
from nexus.admin.picture import Facts, Pictures
from nexus.admin.requests import Requests
from nexus.admin.sessions import Sessions
from nexus.admin.site import Site
from nexus.config.load import Loaded
from nexus.config.state_folder import state_folder
from nexus.domain import Secret
from nexus.errors import RequestError
from nexus.gateway.exchanges import Exchanges
from nexus.http.request import Request
from nexus.http.resolve import Resolver
from nexus.registry.registry import Registry
from nexus.server.fleet import Fleet
from nexus.server.observed import Observed
from nexus.services.discovery.container import in_container
from nexus.services.kept_backends import KeptBackends
from nexus.tasks import Clock


class Administration(msgspec.Struct, frozen=True):
    """The administration of one gateway.

    Attributes:
        operations: what can be done to its backends.
        app: answers ``/admin``; ``None`` when that is switched off.
        site: the dashboard's files; ``None`` with it.
        one_time_token: made because nobody outside the container could come in otherwise; to be
            shown to the operator once.
    """

    operations: Operations
    app: AdminApp | None
    site: Site | None
    one_time_token: Secret | None

    def lets_in(self, loaded: Loaded, request: Request) -> bool:
        """Tell whether its door lets a request in, also where ``/admin`` is off.

        Args:
            loaded: the configuration in force.
            request: whose head decides.
        """
        try:
            admin_door(loaded, self.one_time_token).check(request)
        except RequestError:
            return False
        return True


class Watched(msgspec.Struct, frozen=True):
    """What is shown of the requests of one gateway, beside its backends.

    Attributes:
        exchanges: those that run.
        observed: those that ended.
        facts: of the process.
        rng: for decisions that are only explained.
        gateway_id: tells the cookies of several gateways on one host apart.
    """

    exchanges: Exchanges
    observed: Observed
    facts: Facts
    rng: Random
    gateway_id: str


def administration(
    loaded: Loaded,
    registry: Registry,
    fleet: Fleet,
    watched: Watched,
    *,
    resolver: Resolver,
    clock: Clock,
    environ: Mapping[str, str],
) -> Administration:
    """Make the administration of one gateway, and add the backends that it kept, unless it is off.

    Args:
        loaded: the configuration.
        registry: what is shown.
        fleet: what is acted through.
        watched: what else is shown.
        resolver: finds the addresses of names.
        clock: the time.
        environ: where keys and the state folder are named.
    """
    operations = Operations(
        registry,
        fleet,
        examine=fleet.examine,
        resolve=resolver.resolve,
        kept=KeptBackends(state_folder(environ), clock),
        environ=environ,
    )
    if not loaded.config.admin.enabled:
        return Administration(operations, None, None, None)
    operations.restore()
    fleet.subscribe(operations.follow_configuration)
    made = one_time_token(
        configured=loaded.admin_token is not None,
        in_container=loaded.wide_bind and in_container(environ),
    )
    seen = watched.observed
    requests = Requests(watched.exchanges, seen.history, registry, clock, watched.rng, seen.deliver)
    # fmt: off
    pictures = Pictures(
        registry, requests, watched.observed.history, watched.observed.traffic, fleet, watched.facts, clock,
    )
    # fmt: on
    parts = AdminParts(
        operations,
        Detection(fleet, examine=fleet.examine, resolve=resolver.resolve, environ=environ),
        requests,
        watched.observed.traffic,
        Live(pictures.topics(), clock),
    )
    sessions = Sessions(f"nexus_session_{watched.gateway_id[:8]}", clock)
    return Administration(operations, AdminApp(parts, admin_door(loaded, made), sessions), Site(), made)


def admin_door(loaded: Loaded, one_time: Secret | None) -> AdminDoor:
    """Return the door that a configuration asks for.

    Args:
        loaded: the configuration.
        one_time: the token that was made for this process, if one was.
    """
    server = loaded.config.server
    return AdminDoor(
        token=loaded.admin_token or one_time,
        token_only=loaded.admin_token is not None,
        loopback=not loaded.wide_bind,
        hosts=frozenset(name.lower() for name in server.allowed_hosts),
        scheme="https" if server.tls_cert else "http",
    )
