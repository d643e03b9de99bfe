"""Rules that span several keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nexus.config.kinds import Mismatch
from nexus.config.schema import Config, ServerConfig
from nexus.config.url import is_loopback
from nexus.domain import FallbackChains, Weights

_MAX_HOPS: Final = 3


def check(config: Config, *, asks_for_key: bool) -> None:
    """Refuse settings that contradict each other.

    Args:
        config: what is to be in force.
        asks_for_key: clients must show a key.

    Raises:
        Mismatch: its ``key`` says which setting to change, from the top.
    """
    server, routing = config.server, config.routing
    if server.max_body_mb > server.max_buffered_mb:
        raise _unbufferable(server)
    if server.tls_key is not None and server.tls_cert is None:
        raise Mismatch("expected tls_cert beside it", ("server", "tls_key"))
    if config.discovery.advertise:
        _check_advertise(config, asks_for_key=asks_for_key)
    _check_weights(routing.weights)
    _check_aliases(routing.aliases)
    _check_fallbacks(routing.fallbacks)


def _check_advertise(config: Config, *, asks_for_key: bool) -> None:
    """What is announced is invited: nobody may be told of a door that is shut to them or open by accident."""
    key = ("discovery", "advertise")
    if is_loopback(config.server.host):
        raise Mismatch(
            f'expected a host that other computers reach, got "{config.server.host}": '
            "start with --host 0.0.0.0 or set [server] host",
            key,
        )
    if not asks_for_key and not config.discovery.open:
        raise Mismatch(
            "expected a key that clients must show, such as NEXUS_API_KEY; "
            "--open or [discovery] open = true announces Nexus without one",
            key,
        )


def _unbufferable(server: ServerConfig) -> Mismatch:
    """Blame the setting that somebody changed."""
    if server.max_body_mb == ServerConfig().max_body_mb:
        return Mismatch(f"expected at least max_body_mb, {server.max_body_mb}", ("server", "max_buffered_mb"))
    return Mismatch(f"expected at most max_buffered_mb, {server.max_buffered_mb}", ("server", "max_body_mb"))


def _check_weights(weights: Weights) -> None:
    total = weights.priority + weights.load + weights.latency
    if total != 100:
        raise Mismatch(
            f"expected weights that sum to 100, got {total} (priority {weights.priority}, "
            f"load {weights.load}, latency {weights.latency})",
            ("routing", "weights"),
        )


def _check_aliases(aliases: Mapping[str, str]) -> None:
    """Follow exact names only: what a glob catches may be a model that some backend has."""
    for name in aliases:
        key = ("routing", "aliases", name)
        if any(mark in aliases[name] for mark in "*?"):
            raise Mismatch("expected a model name, got a glob; only the left side may be one", key)
        chain = [name]
        while (target := aliases.get(chain[-1])) is not None:
            if target in chain:
                shown = " -> ".join([*chain[chain.index(target) :], target])
                raise Mismatch(f"expected an alias that ends at a model, got a cycle: {shown}", key)
            chain.append(target)
        if len(chain) - 1 > _MAX_HOPS:
            raise Mismatch(f"expected at most {_MAX_HOPS} hops, got {' -> '.join(chain)}", key)


def _check_fallbacks(fallbacks: FallbackChains) -> None:
    for model, chain in fallbacks.items():
        key = ("routing", "fallbacks", model)
        if not chain:
            raise Mismatch("expected at least one model to fall back to", key)
        if model in chain:
            raise Mismatch("expected other models than the one that failed", key)
