"""What the person at the terminal is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nexus.admin.door import token_line
from nexus.domain import Backend, BackendStatus
from nexus.observe.text import printable
from nexus.server.compose import Nexus
from nexus.server.looked import nothing_found

_MODELS_SHOWN: Final = 5


def opening(nexus: Nexus) -> list[str]:
    """Return what is known as soon as the port is bound: addresses and doubts."""
    lines = [f"Nexus listens on {nexus.base_url}", f"Base URL for OpenAI clients: {nexus.base_url}/v1"]
    token = nexus.administration.one_time_token
    if token is not None:
        lines.append(token_line(token, nexus.base_url))
    return [*lines, *(f"Warning: {warning}" for warning in nexus.loaded.warnings)]


def fleet(nexus: Nexus) -> list[str]:
    """Return what the first round found, or what was tried and what to do when there is nothing."""
    backends = nexus.registry.snapshot.backends.values()
    lines = [describe(backend) for backend in backends] or nothing_found(nexus.loaded.config.discovery)
    for mention in nexus.finder.mentions:
        lines += [mention.text, *(f"  {line}" for line in mention.toml.splitlines())]
    return lines


def describe(backend: Backend) -> str:
    """Return one line about a backend: what it is, where it was found, and what it serves."""
    where = f", {backend.spec.found_by}" if backend.spec.found_by else ""
    if backend.status is BackendStatus.HEALTHY:
        names = [model.id for model in backend.models]
        more = f" and {len(names) - _MODELS_SHOWN} more" if len(names) > _MODELS_SHOWN else ""
        shown = ", ".join(names[:_MODELS_SHOWN]) + more
        # Names and models are a server's own words.
        return printable(f"Found {backend.name} ({backend.type}{where}): {shown or 'no models'}")
    if backend.status is BackendStatus.UNKNOWN:
        return printable(f"Still being asked: {backend.name} ({backend.spec.origin}{where})")
    return printable(
        f"Not usable now: {backend.name} ({backend.type}{where}) is {backend.status}: {backend.reason}"
    )


class Newcomers:
    """Tells of each backend once: when it serves for the first time after the greeting.

    Args:
        nexus: whose backends.
        announce: takes the lines.
    """

    def __init__(self, nexus: Nexus, announce: Callable[[str], None]) -> None:
        self._registry = nexus.registry
        self._announce = announce
        backends = nexus.registry.snapshot.backends.values()
        self._told = {backend.id for backend in backends if backend.status is BackendStatus.HEALTHY}
        self._registry.subscribe(self._changed)

    def _changed(self, was: Backend, backend: Backend) -> None:
        if was.status is BackendStatus.UNKNOWN:
            # It is new, or at another address, even if one of this name was told of before.
            self._told.discard(backend.id)
        if backend.status is BackendStatus.HEALTHY and backend.id not in self._told:
            self._told &= self._registry.snapshot.backends.keys()
            self._told.add(backend.id)
            self._announce(describe(backend))
