"""A plain OpenAI-compatible server: chat, completions, embeddings and a model list."""

from __future__ import annotations

from nexus.testing.dialects.base import Dialect


class Generic(Dialect):
    """What every compatible server shares, and nothing more."""

    server = "generic"
    kind = "generic"
