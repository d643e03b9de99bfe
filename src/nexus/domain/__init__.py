"""Frozen values that every layer speaks; they import nothing of Nexus and do no I/O."""

from nexus.domain.backend import (
    Backend,
    BackendSpec,
    BackendStatus,
    BackendType,
    DiscoverySource,
    Model,
    ModelOverride,
)
from nexus.domain.capabilities import UNKNOWN_CAPABILITIES, Capabilities
from nexus.domain.explanation import Consideration, Explanation, PolicyRejection, ScoreTerms
from nexus.domain.origin import Origin, TlsOptions
from nexus.domain.rejection import Rejection, RejectionKind
from nexus.domain.replacing import replace
from nexus.domain.request import (
    GAP_BUCKETS,
    Attempt,
    FailureKind,
    Gaps,
    Outcome,
    Requirements,
    RouteReason,
)
from nexus.domain.rules import FallbackChains, RoutingRules, Strategy
from nexus.domain.secret import Secret
from nexus.domain.usage import Usage
from nexus.domain.weights import Weights

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
    "replace",
]
