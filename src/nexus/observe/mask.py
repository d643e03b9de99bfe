"""Keeps keys out of the log, whatever raises and whatever it quotes.

Law: every line but a good request's passes here. Of a good request nothing is written but names
that a backend serves, numbers and an id, so that the request path pays nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

from nexus.domain import Secret
from nexus.observe.text import encode

_MASK: Final = "[key]"
# What is shorter protects nothing, and would turn up in other words.
_LEAST: Final = 4
_PATTERNS: Final = (
    re.compile(r"(://)[^/\s@'\"]+(?=@)"),
    re.compile(
        r"\b((?:set-)?cookie(?:['\"]?\s*[=:]\s*(?:b?['\"])?|['\"],\s*b?['\"]))[^'\"\r\n]+", re.IGNORECASE
    ),
    re.compile(
        r"\b((?:(?:proxy-)?authorization|(?:x-)?api[-_ ]?key|access[-_ ]?token|password|secret)"
        r"(?:['\"]?\s*[=:]\s*(?:b?['\"])?|['\"],\s*b?['\"])(?:(?:Bearer|Basic)\s+)?)[^\s'\",;]{4,}",
        re.IGNORECASE,
    ),
    re.compile(r"\b((?:Bearer|Basic)\s+)[^\s'\",;]{4,}", re.IGNORECASE),
    re.compile(r"\b()(?:sk|pk|rk|hf|gsk|xai|nvapi|AIza|ghp|pplx|r8)[-_][-_A-Za-z0-9]{8,}"),
)


class Mask:
    """Takes every configured secret, and what looks like a credential, out of text.

    Args:
        known: the secrets of this moment.

    Attributes:
        known: to be exchanged when somebody knows better.
    """

    __slots__ = ("_secrets", "_spellings", "known")

    def __init__(self, known: Callable[[], Iterable[Secret]] = tuple) -> None:
        self.known = known
        self._secrets: tuple[Secret, ...] = ()
        self._spellings: list[str] = []

    def text(self, text: str) -> str:
        """Return ``text`` without keys."""
        text = self.configured(text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{_MASK}", text)
        return text

    def configured(self, text: str) -> str:
        """Return ``text`` without configured secrets."""
        secrets = tuple(self.known())
        if secrets != self._secrets:
            self._spellings, self._secrets = _spellings(secrets), secrets
        for spelling in self._spellings:
            text = text.replace(spelling, _MASK)
        return text

    def value(self, value: Any) -> Any:  # noqa: ANN401  # any field's value
        """Return a field's value without keys; what is neither number nor collection becomes its text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {self.text(str(name)): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return self.text(str(value))


def _spellings(secrets: Iterable[Secret]) -> list[str]:
    """Return the secrets as they may be written, the longest first."""
    found: set[str] = set()
    for secret in secrets:
        plain = secret.reveal().strip()
        if len(plain) >= _LEAST:
            found |= {plain, quote(plain, safe=""), repr(plain)[1:-1], encode(plain).decode()[1:-1]}
    return sorted(found, key=len, reverse=True)
