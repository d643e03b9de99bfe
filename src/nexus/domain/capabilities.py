"""What a model can do on one backend."""

from __future__ import annotations

from typing import Final

import msgspec


class Capabilities(msgspec.Struct, frozen=True):
    """What a model can do on one backend: ``True``, ``False`` or ``None`` for unknown.

    Law: unknown is not unsupported; only a known ``False`` excludes. A guess from a name is
    ``None``.
    """

    vision: bool | None = None
    remote_image: bool | None = None
    audio: bool | None = None
    tools: bool | None = None
    json: bool | None = None
    embeddings: bool | None = None
    chat: bool | None = None


UNKNOWN_CAPABILITIES: Final = Capabilities()
