"""What discovery works with, and what it may find."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nexus.http.resolve import Resolver
from nexus.registry.registry import Registry
from nexus.services.discovery.asking import Examine
from nexus.services.discovery.places import Network
from nexus.services.discovery.roster import Forget, Register
from nexus.tasks import Clock, TaskOwner


class FindsSettings(msgspec.Struct, frozen=True):
    """What may be found.

    Attributes:
        grace_period_seconds: how long a backend is kept after its last sighting.
        allow: networks that announcements may name beside the private and link-local ones.
        max_backends: that discovery adds at most.
    """

    grace_period_seconds: float = 60.0
    allow: tuple[Network, ...] = ()
    max_backends: int = 64


class FindsTools(msgspec.Struct, frozen=True):
    """What ``finds.Finds`` works with.

    Attributes:
        registry: read, and asked for checks; written to by ``register`` and ``forget`` alone.
        examine: says what answers there; ``None`` when nothing does.
        register: makes a backend of a specification, or gives a known one a new one.
        forget: removes a backend; requests that it runs end as usual.
        clock: the time.
        tasks: owns examinations, look-ups and the alarm; closed by whoever made it.
        resolver: finds the addresses of names.
        is_self: whether a connection there would be one to this Nexus.
        is_own: whether an address is one of this computer's interfaces.
    """

    registry: Registry
    examine: Examine
    register: Register
    forget: Forget
    clock: Clock
    tasks: TaskOwner
    resolver: Resolver
    is_self: Callable[[str, int], bool]
    is_own: Callable[[str], bool]
