"""One routing rule per file; a new rule is one file and one line in ``POLICIES``."""

from __future__ import annotations

from typing import Final

from nexus.routing.policies import (
    audio,
    busy,
    context_length,
    embeddings,
    gateways,
    json_mode,
    remote_image,
    rotation,
    surface,
    tools,
    vision,
)
from nexus.routing.policies.base import JudgeContext, LivePolicy, Policy, judge_context

CONTEXT_LENGTH: Final = context_length.POLICY.name
"""The code of the one rejection that rests on an estimate."""

LIVE_POLICIES: Final[tuple[LivePolicy, ...]] = (busy.POLICY, context_length.POLICY)

POLICIES: Final[tuple[Policy, ...]] = (
    *LIVE_POLICIES,
    rotation.POLICY,
    gateways.POLICY,
    surface.POLICY,
    vision.POLICY,
    remote_image.POLICY,
    audio.POLICY,
    tools.POLICY,
    json_mode.POLICY,
    embeddings.POLICY,
)
"""Cheapest and likeliest first: the order changes cost, never the result."""

__all__ = [
    "CONTEXT_LENGTH",
    "LIVE_POLICIES",
    "POLICIES",
    "JudgeContext",
    "LivePolicy",
    "Policy",
    "judge_context",
]
