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
from nexus.domain.explanation import Consideration, Explanation, PolicyRejection, ScoreTerms
from nexus.domain.origin import Origin, TlsOptions
from nexus.domain.request import (
    GAP_BUCKETS,
    Attempt,
    FailureKind,
    Gaps,
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
    "GAP_BUCKETS",
    "UNKNOWN_CAPABILITIES",
    "Attempt",
    "Backend",
    "BackendSpec",
    "BackendStatus",
    "BackendType",
    "Capabilities",
    "Consideration",
    "DiscoverySource",
    "Explanation",
    "FailureKind",
    "FallbackChains",
    "Gaps",
    "Model",
    "ModelOverride",
    "Origin",
    "Outcome",
    "PolicyRejection",
    "Rejection",
    "RejectionKind",
    "Requirements",
    "RouteReason",
    "RoutingRules",
    "ScoreTerms",
    "Secret",
    "Strategy",
    "TlsOptions",
    "Usage",
    "Weights",
]
