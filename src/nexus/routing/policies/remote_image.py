"""Image URLs go to backends that are not known to refuse fetching them."""

from __future__ import annotations

from typing import Final

from nexus.routing.policies.capability import CapabilityPolicy

POLICY: Final = CapabilityPolicy(
    "remote_image", "does not fetch images from URLs", "send the image as a data URI"
)
