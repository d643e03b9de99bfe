"""Where backends are looked for, and what to do when there is none."""

from __future__ import annotations

from collections.abc import Iterator

from nexus.config.schema import DiscoveryConfig


def nothing_found(discovery: DiscoveryConfig) -> list[str]:
    """Return what to tell whoever has no backend, by the configuration in force."""
    return [
        *(_looked(discovery) if discovery.enabled else ["No backend is configured, and discovery is off."]),
        "To name one now:",
        "  nexus serve --backend http://127.0.0.1:11434",
        "or write a nexus.toml ('nexus config init' makes one).",
        "To try Nexus without a server of your own: nexus demo",
    ]


def _looked(discovery: DiscoveryConfig) -> Iterator[str]:
    """Say where was looked, and where is still being looked: that goes on after the greeting."""
    if discovery.probe_local:
        yield "No inference server was found: looked at OLLAMA_HOST and the usual ports of this computer."
        yield f"One that starts here is used within {discovery.probe_seconds:g} s."
    else:
        yield "No inference server was found: this computer is not looked at ([discovery] probe_local)."
    types = ", ".join(name.removesuffix(".").removesuffix(".local") for name in discovery.service_types)
    others = [f"the peers {', '.join(discovery.peers)}"] if discovery.peers else []
    others += [f"what the network announces ({types})"] if types else []
    if others:
        yield f"Still looking at {' and '.join(others)}."
