"""Embedding requests go to models that are not known to lack embeddings."""

from __future__ import annotations

from typing import Final

from nexus.domain import BackendType
from nexus.routing.policies.capability import CapabilityPolicy

POLICY: Final = CapabilityPolicy(
    "embeddings",
    "makes no embeddings",
    "use an embedding model, or set `embeddings = true` if detection is wrong",
    {BackendType.LLAMACPP: "start it with --embeddings"},
)
