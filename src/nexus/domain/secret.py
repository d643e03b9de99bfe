"""A credential that cannot leave by accident."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

_MASK: Final = "********"


class Secret:
    """A key that can be used but not printed, logged, pickled or serialised.

    Law: a backend's key goes to that backend only. Everything that turns a value into text
    (``str``, ``repr``, ``format``) sees the mask; only :meth:`reveal` gives the key itself, so
    that every use is found by searching for that word.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Compare in constant time (RFC 6750 tokens must not leak by timing)."""
        return hmac.compare_digest(self._value.encode(), candidate.encode())

    def __str__(self) -> str:
        return _MASK

    def __repr__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return format(_MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be serialised")
