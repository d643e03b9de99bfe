"""What stands behind a path: with and without ``/v1``, with and without a trailing slash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nexus.errors import MethodNotAllowed, NotFound
from nexus.protocol.surfaces import SURFACES, Surface

METRICS: Final = "/metrics"
PAGES: Final = frozenset({"", "/models", "/health", "/health/live", "/health/ready", METRICS})
MODEL_PREFIX: Final = "/models/"
ADMIN: Final = "/admin"
ASSETS: Final = "/ui/"

_BY_PATH: Final[Mapping[str, Surface]] = MappingProxyType(
    {surface.path: surface for surface in SURFACES.values()}
)
_BY_SPELLING: Final[Mapping[str, Surface]] = MappingProxyType(
    {
        f"{prefix}{surface.path}{end}": surface
        for surface in SURFACES.values()
        for prefix in ("/v1", "")
        for end in ("", "/")
    }
)
_READ: Final = ("GET", "HEAD")


def normal(path: str) -> str:
    """Return a path without its ``/v1`` and without trailing slashes."""
    if path.startswith("/v1/") or path == "/v1":
        path = path[3:]
    return path.rstrip("/") if path.endswith("/") else path


def find_surface(path: str) -> Surface | None:
    """Return the surface at a path as sent, or ``None``."""
    return _BY_SPELLING.get(path) or _BY_PATH.get(normal(path))


def is_admin(path: str) -> bool:
    """Tell whether a path as sent belongs to the administration, which has no second spelling."""
    return path == ADMIN or path.startswith(f"{ADMIN}/")


def check(method: str, sent: str, base_url: Callable[[], str]) -> str:
    """Refuse a request that no handler stands behind.

    Args:
        method: as sent.
        sent: the path as sent.
        base_url: gives what clients should set, for the hint.

    Returns:
        The normal path.

    Raises:
        NotFound: nobody serves the path; the message says which base URL to set.
        MethodNotAllowed: the path exists, the method does not.
    """
    path = normal(sent)
    if path in _BY_PATH:
        if method != "POST":
            raise _not_allowed(method, sent, ("POST",))
    elif path in PAGES or path.startswith(MODEL_PREFIX) or sent.startswith(ASSETS):
        if method not in _READ:
            raise _not_allowed(method, sent, _READ)
    else:
        raise NotFound(f"There is nothing at '{sent[:200]}'. {_hint(path, base_url())}")
    return path


def _hint(path: str, base_url: str) -> str:
    if path.startswith("/v1/"):
        return f"The base URL has one '/v1' too many: set it to {base_url}/v1."
    if path.startswith("/api/"):
        return (
            f"This is an OpenAI-compatible gateway, not an Ollama server: set the base URL to {base_url}/v1."
        )
    return f"OpenAI clients set their base URL to {base_url}/v1."


def _not_allowed(method: str, path: str, allowed: tuple[str, ...]) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"{method[:20]} is not allowed on '{path[:200]}': use {' or '.join(allowed)}.",
        headers=(("Allow", ", ".join((*allowed, "OPTIONS"))),),
    )
