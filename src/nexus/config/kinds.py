"""What a setting takes: each kind knows its words, its TOML values and its environment text."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

from nexus.errors import ConfigError

_SHOWN: Final = 40
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_YEAR_SECONDS: Final = 31_536_000


class Mismatch(ConfigError):
    """A value is not what its key takes; whoever knows the place adds it.

    Attributes:
        key: where inside the value, outermost first.
    """

    def __init__(self, message: str, key: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.key = key


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` most likely stands for, or ``None``."""
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if found:
        return folded[found[0]]
    # Half a name ("retries", "strategies") is a likelier slip than two wrong letters.
    parts = [name for name in folded if len(word) > 2 and word.lower() in name]
    return folded[min(parts, key=len)] if parts else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "x"?`` or, when nothing is near, the words that there are."""
    names = sorted(known)
    near = nearest(word, names)
    return f'; did you mean "{near}"?' if near else f"; there are: {', '.join(names)}"


def described(raw: object) -> str:
    """Name a wrong value without echoing strings: they may be credentials in the wrong place."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int):
        return str(raw) if abs(raw) < 10**18 else "a huge number"
    if isinstance(raw, float):
        return f"{raw:g}"
    names: dict[type, str] = {str: "a string", list: "an array", tuple: "an array", dict: "a table"}
    return names.get(type(raw), "a date or time")


def quoted(text: str) -> str:
    """Quote a harmless wrong word: printable, at most 40 characters."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:_SHOWN])
    return f'"{shown}"' if len(text) <= _SHOWN else f'"{shown}..."'


class Kind(ABC):
    """The values that one setting takes.

    Attributes:
        expected: completes "expected ...".
        scalar: whether an environment variable can set it.
    """

    expected: str
    scalar: ClassVar[bool] = True

    @abstractmethod
    def accept(self, raw: object) -> Any:  # noqa: ANN401  each kind narrows it
        """Return the value of a TOML value or a flag; raises :class:`Mismatch`."""

    def parse(self, text: str) -> Any:  # noqa: ANN401  each kind narrows it
        """Return the value of an environment variable's text; raises :class:`Mismatch`."""
        return self.accept(text)

    def wrong(self, raw: object) -> Mismatch:
        """Make the error for a value of the wrong type or out of range."""
        return Mismatch(f"expected {self.expected}, got {described(raw)}")


class Flag(Kind):
    """True or false."""

    expected = "true or false"

    def accept(self, raw: object) -> bool:
        """Take a boolean only: 0 and 1 are numbers in TOML."""
        if not isinstance(raw, bool):
            raise self.wrong(raw)
        return raw

    def parse(self, text: str) -> bool:
        """Take the words that Compose files and shells use."""
        word = text.strip().lower()
        if word in _TRUE | _FALSE:
            return word in _TRUE
        raise Mismatch(f"expected true or false, got {quoted(text)}")


class Whole(Kind):
    """A whole number in a range."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.expected = f"a whole number from {low} to {high}"

    def accept(self, raw: object) -> int:
        """Take an integer (never a boolean, which Python counts among them)."""
        if isinstance(raw, bool) or not isinstance(raw, int) or not self.low <= raw <= self.high:
            raise self.wrong(raw)
        return raw

    def parse(self, text: str) -> int:
        """Take decimal digits."""
        digits = text.strip()
        if not (digits.isascii() and digits.removeprefix("-").isdigit() and len(digits) < 20):
            raise Mismatch(f"expected {self.expected}, got {quoted(text)}")
        return self.accept(int(digits))


class Seconds(Kind):
    """A duration in seconds; ``zero`` says whether 0 is a value."""

    def __init__(self, *, zero: bool = False) -> None:
        self.zero = zero
        self.expected = "seconds, 0 or more" if zero else "seconds, more than 0"

    def accept(self, raw: object) -> float:
        """Take a finite number up to a year."""
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise self.wrong(raw)
        if not (0 <= raw <= _YEAR_SECONDS) or (raw == 0 and not self.zero):
            raise self.wrong(raw)
        return float(raw)

    def parse(self, text: str) -> float:
        """Take a decimal number."""
        try:
            number = float(text)
        except ValueError:
            raise Mismatch(f"expected {self.expected}, got {quoted(text)}") from None
        return self.accept(number)


class Text(Kind):
    """A string that passes a check; it is never echoed when it does not."""

    def __init__(self, expected: str = "a string", check: Callable[[str], str] | None = None) -> None:
        self.expected = expected
        self._check = check

    def accept(self, raw: object) -> str:
        """Take a string with something in it and no control characters."""
        if not isinstance(raw, str):
            raise self.wrong(raw)
        if not raw.strip():
            raise Mismatch(f"expected {self.expected}, got nothing")
        if not raw.isprintable():
            raise Mismatch(f"expected {self.expected}, without control characters")
        return self._check(raw) if self._check else raw


class FileName(Text):
    """A path: ``~`` is the home folder, and a relative one starts at the file that says it."""

    def __init__(self) -> None:
        super().__init__("the path of a file")

    def resolved(self, value: str, base: Path = Path()) -> str:
        """Return the path seen from ``base``, when the file there can be opened."""
        try:
            path = base / Path(value).expanduser()
            with path.open("rb"):
                return str(path)
        except OSError as error:
            raise Mismatch(f"expected a file that can be read; {path}: {error.strerror}") from None
        except (RuntimeError, ValueError):
            raise Mismatch("expected the path of a file; there is no such folder") from None


class Choice(Kind):
    """One of a few words."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = {str(word): word for word in words}
        self.expected = "one of " + ", ".join(f'"{word}"' for word in self.words)

    def accept(self, raw: object) -> str:
        """Take exactly one of the words."""
        if not isinstance(raw, str):
            raise self.wrong(raw)
        if raw not in self.words:
            near = nearest(raw, self.words)
            hint = f'; did you mean "{near}"?' if near else ""
            raise Mismatch(f"expected {self.expected}, got {quoted(raw)}{hint}")
        return self.words[raw]

    def parse(self, text: str) -> str:
        """Take a word in any case: shells and Compose files shout."""
        return self.accept(text.strip().lower())


class ListOf(Kind):
    """An array of one kind, each value once."""

    def __init__(self, item: Kind) -> None:
        self.item = item
        self.expected = f"an array; each value {item.expected}"

    def accept(self, raw: object) -> tuple[Any, ...]:
        """Take an array; the error names the place inside it."""
        if not isinstance(raw, list | tuple):
            raise self.wrong(raw)
        values: list[Any] = []
        for number, element in enumerate(raw, 1):
            try:
                value = self.item.accept(element)
            except Mismatch as error:
                raise Mismatch(f"value {number}: {error}") from None
            if value in values:
                raise Mismatch(f"expected each value once; value {number} repeats an earlier one")
            values.append(value)
        return tuple(values)

    def parse(self, text: str) -> tuple[Any, ...]:
        """Take values separated by commas."""
        return self.accept([part.strip() for part in text.split(",") if part.strip()])


class MapOf(Kind):
    """A table with free keys and values of one kind."""

    scalar = False

    def __init__(self, key: Text, value: Kind) -> None:
        self.key, self.value = key, value
        self.expected = f"a table; each value {value.expected}"

    def accept(self, raw: object) -> Mapping[str, Any]:
        """Take a table; the error names the key inside it."""
        if not isinstance(raw, dict):
            raise self.wrong(raw)
        values: dict[str, Any] = {}
        for name, element in raw.items():
            try:
                values[self.key.accept(name)] = self.value.accept(element)
            except Mismatch as error:
                raise Mismatch(str(error), (name, *error.key)) from None
        return MappingProxyType(values)


class Tables(Kind):
    """An array of tables that has a schema of its own."""

    scalar = False

    def __init__(self, header: str) -> None:
        self.expected = f"tables that begin with {header}"

    def accept(self, raw: object) -> list[dict[str, Any]]:
        """Take an array of tables, unread."""
        if not isinstance(raw, list) or not all(isinstance(table, dict) for table in raw):
            raise self.wrong(raw)
        return raw


@dataclass(frozen=True, slots=True)
class Setting:
    """What a schema says of one key besides its name, its type and its default.

    Attributes:
        doc: one sentence for the reference, the example file and the operator.
        kind: the values it takes.
        example: TOML text for the example file where the default has none to show.
        key: the TOML spelling where Python does not allow it as a name.
    """

    doc: str
    kind: Kind
    example: str = ""
    key: str = ""
