"""The operator's routing configuration as one value: a reload is one swap."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from nexus.domain.weights import Weights

FallbackChains = Mapping[str, tuple[str, ...]]


class Strategy(StrEnum):
    """How candidates that survived every policy are ranked."""

    SMART = "smart"
    ROUND_ROBIN = "round_robin"
    PRIORITY_ONLY = "priority_only"
    RANDOM = "random"


class RoutingRules(msgspec.Struct, frozen=True):
    """Names and ranking.

    Attributes:
        strategy: the ranking.
        weights: for ``smart``.
        max_retries: further attempts after the first in which request bytes were sent.
        default_model: serves requests without ``model``.
        aliases: name or glob to target, as configured.
        fallbacks: model to the models tried after it.
        route_keyed_backends: whether backends that hold a key of their own may serve; false on
            a wide bind without client keys.
    """

    strategy: Strategy = Strategy.SMART
    weights: Weights = Weights()
    max_retries: int = 2
    default_model: str | None = None
    aliases: Mapping[str, str] = MappingProxyType({})
    fallbacks: FallbackChains = MappingProxyType({})
    route_keyed_backends: bool = True
