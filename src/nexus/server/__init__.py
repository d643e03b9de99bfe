"""The composition root: the one place that knows every package."""

from nexus.server.run import run

__all__ = ["run"]
