"""What the person at the terminal is told at the start."""

from __future__ import annotations

from nexus.domain import Backend, BackendStatus
from nexus.server.compose import Nexus


def opening(nexus: Nexus) -> list[str]:
    """Return what is known as soon as the port is bound: addresses and doubts."""
    lines = [f"Nexus listens on {nexus.base_url}", f"Base URL for OpenAI clients: {nexus.base_url}/v1"]
    lines += [f"Warning: {warning}" for warning in nexus.loaded.warnings]
    return lines


def fleet(nexus: Nexus) -> list[str]:
    """Return what the first round of checks found, or what to do when there is nothing."""
    backends = nexus.registry.snapshot.backends.values()
    if not backends:
        return [
            "No backend is configured. Name one now:",
            "  nexus serve --backend http://127.0.0.1:11434",
            "or write a nexus.toml ('nexus config init' makes one).",
            "To try Nexus without a server of your own: nexus demo",
        ]
    return [_describe(backend) for backend in backends]


def _describe(backend: Backend) -> str:
    if backend.status is BackendStatus.HEALTHY:
        names = [model.id for model in backend.models]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"Found {backend.name} ({backend.type}): {shown or 'no models'}"
    return f"Not usable now: {backend.name} ({backend.type}) is {backend.status}: {backend.reason}"
