"""Frozen values that every layer speaks; they import nothing of Nexus and do no I/O."""

from nexus.domain.backend import (
    UNKNOWN_CAPABILITIES,
    Backend,
    BackendSpec,
    BackendStatus,
    BackendType,
    Capabilities,
    DiscoverySource,
    Model,
    ModelOverride,
)
from nexus.domain.origin import Origin, TlsOptions
from nexus.domain.request import (
    Attempt,
    FailureKind,
    Outcome,
    Rejection,
    RejectionKind,
    Requirements,
    RouteReason,
    Usage,
)
from nexus.domain.rules import FallbackChains, RoutingRules, Strategy, Weights
from nexus.domain.secret import Secret

__all__ = [
    "UNKNOWN_CAPABILITIES",
    "Attempt",
    "Backend",
    "BackendSpec",
    "BackendStatus",
    "BackendType",
    "Capabilities",
    "DiscoverySource",
    "FailureKind",
    "FallbackChains",
    "Model",
    "ModelOverride",
    "Origin",
    "Outcome",
    "Rejection",
    "RejectionKind",
    "Requirements",
    "RouteReason",
    "RoutingRules",
    "Secret",
    "Strategy",
    "TlsOptions",
    "Usage",
    "Weights",
]
