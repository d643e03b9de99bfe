"""One routing rule per file; a new rule is one file and one line in ``POLICIES``."""

from __future__ import annotations

from typing import Final

from nexus.routing.policies import (
    audio,
    busy,
    context_length,
    embeddings,
    json_mode,
    remote_image,
    rotation,
    surface,
    tools,
    vision,
)
from nexus.routing.policies.base import JudgeContext, Policy, judge_context

POLICIES: Final[tuple[Policy, ...]] = (
    rotation.POLICY,
    busy.POLICY,
    surface.POLICY,
    context_length.POLICY,
    vision.POLICY,
    remote_image.POLICY,
    audio.POLICY,
    tools.POLICY,
    json_mode.POLICY,
    embeddings.POLICY,
)
"""Cheapest and likeliest first: the order changes cost, never the result."""

__all__ = ["POLICIES", "JudgeContext", "Policy", "judge_context"]
