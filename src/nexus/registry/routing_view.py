"""The routing rules as they may be shown."""

from __future__ import annotations

import msgspec

from nexus.domain import RoutingRules, Weights


class RoutingView(msgspec.Struct, frozen=True):
    """Names and ranking, as configured; see :class:`nexus.domain.RoutingRules`."""

    strategy: str
    weights: dict[str, int]
    max_retries: int
    default_model: str | None
    aliases: dict[str, str]
    fallbacks: dict[str, tuple[str, ...]]


def routing_view(rules: RoutingRules) -> RoutingView:
    """Return how ``rules`` may be shown."""
    return RoutingView(
        strategy=rules.strategy.value,
        weights={name: getattr(rules.weights, name) for name in Weights.__struct_fields__},
        max_retries=rules.max_retries,
        default_model=rules.default_model,
        aliases=dict(rules.aliases),
        fallbacks=dict(rules.fallbacks),
    )
