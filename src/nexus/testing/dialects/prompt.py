"""What dialects read from a request: the text of its prompt, and vectors made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def prompt_text(fields: Mapping[str, Any]) -> bytes:
    """Return the text of a prompt, of whatever surface."""
    found: list[str] = []
    for key in ("messages", "prompt", "input", "system", "instructions", "content"):
        _collect(fields.get(key), found)
    return "".join(found).encode("utf-8", "surrogatepass")


def _collect(value: object, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        for key in ("content", "text", "input"):
            _collect(value.get(key), found)


def vector(text: str) -> list[float]:
    """Return eight numbers that depend on the text alone."""
    digest = hashlib.sha256(text.encode()).digest()
    return [round(byte / 128 - 1, 6) for byte in digest[:8]]
