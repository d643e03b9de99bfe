"""What the routes below ``/admin`` stand on."""

from __future__ import annotations

import msgspec

from nexus.admin.detection import Detection
from nexus.admin.live import Live
from nexus.admin.operations import Operations
from nexus.admin.requests import Requests
from nexus.observe.traffic import Traffic


class AdminParts(msgspec.Struct, frozen=True):
    """Everything that can be seen and done.

    Attributes:
        operations: backends.
        detection: servers that may become some.
        requests: requests, running and ended.
        traffic: of the last hour.
        live: what moves.
    """

    operations: Operations
    detection: Detection
    requests: Requests
    traffic: Traffic
    live: Live
