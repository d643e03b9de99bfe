"""Tool calls go to models that are not known to lack them."""

from __future__ import annotations

from typing import Final

from nexus.domain import BackendType
from nexus.routing.policies.capability import CapabilityPolicy

POLICY: Final = CapabilityPolicy(
    "tools",
    "cannot call tools",
    "use another model, or set `tools = true` if detection is wrong",
    {
        BackendType.VLLM: "start it with --enable-auto-tool-choice and --tool-call-parser",
        BackendType.LLAMACPP: "start it with --jinja",
    },
)
