"""The one mutable owner of backends, leases and live statistics."""

from nexus.registry.lease import Lease
from nexus.registry.names import Resolution, bare
from nexus.registry.registry import Registry
from nexus.registry.snapshot import Candidate, Snapshot
from nexus.registry.views import BackendRow, BackendView, ModelRow, PairView
from nexus.registry.wishes import Wish

__all__ = [
    "BackendRow",
    "BackendView",
    "Candidate",
    "Lease",
    "ModelRow",
    "PairView",
    "Registry",
    "Resolution",
    "Snapshot",
    "Wish",
    "bare",
]
