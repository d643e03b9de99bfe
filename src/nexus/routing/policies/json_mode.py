"""JSON mode and schemas go to models that are not known to lack them."""

from __future__ import annotations

from typing import Final

from nexus.routing.policies.capability import CapabilityPolicy

POLICY: Final = CapabilityPolicy(
    "json", "has no JSON mode", "use another model, or set `json = true` if detection is wrong"
)
