"""Names for requests that came without one."""

from __future__ import annotations

from random import Random
from typing import Final

_BYTES: Final = 12
_DIGITS: Final = 2 * _BYTES
_AT_ONCE: Final = 128


class RequestIds:
    """Makes random ids of 24 hexadecimal digits.

    Many are drawn at once: to draw and to write a single one costs as much as reading a request's head.

    Args:
        rng: the ids protect nothing.
    """

    __slots__ = ("_digits", "_rng", "_used")

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._digits = ""
        self._used = 0

    def make(self) -> str:
        """Return an id that was not returned before."""
        at = self._used
        if at == len(self._digits):
            self._digits = self._rng.randbytes(_AT_ONCE * _BYTES).hex()
            at = 0
        self._used = at + _DIGITS
        return self._digits[at : at + _DIGITS]
