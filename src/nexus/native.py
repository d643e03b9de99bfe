"""Whether this is a compiled build, see ``docs/compiled.md``."""

from __future__ import annotations

from importlib.util import find_spec


def is_compiled() -> bool:
    """Tell whether the request path is native code; it imports nothing of it."""
    spec = find_spec("nexus.stepping")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
