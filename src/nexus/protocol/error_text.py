"""What a backend's error says."""

from __future__ import annotations

import msgspec


class ErrorText(msgspec.Struct, frozen=True):
    """A backend's error, whatever shape it came in.

    Attributes:
        message: its own words, never empty.
        type: OpenAI's ``type`` or what stands for it, or empty.
        code: as text, also when it was a number; ``None`` without one.
        param: the request field at fault, or ``None``.
    """

    message: str
    type: str = ""
    code: str | None = None
    param: str | None = None
