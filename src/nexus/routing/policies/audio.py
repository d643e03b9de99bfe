"""Audio goes to models that are not known to be deaf."""

from __future__ import annotations

from typing import Final

from nexus.routing.policies.capability import CapabilityPolicy

POLICY: Final = CapabilityPolicy("audio", "cannot read audio", "use a model with audio input")
