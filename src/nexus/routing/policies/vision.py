"""Images go to models that are not known to be blind."""

from __future__ import annotations

from typing import Final

from nexus.domain import BackendType
from nexus.routing.policies.capability import CapabilityPolicy

POLICY: Final = CapabilityPolicy(
    "vision",
    "cannot read images",
    "use a vision model, or set `vision = true` if detection is wrong",
    {BackendType.LLAMACPP: "start it with the model's --mmproj"},
)
