"""The shapes in which replies say what they cost."""

from __future__ import annotations

from typing import Any

import msgspec

from nexus.domain import Usage


class Counted(msgspec.Struct, gc=False):
    """What nearly every reply says: OpenAI's ``usage``, and nothing of an error."""

    usage: Usage
    error: None = None
    object: str = ""
    type: str = ""


class CountedLoosely(msgspec.Struct, gc=False):
    """Whatever a reply has under the name of ``usage``."""

    usage: Any = None
