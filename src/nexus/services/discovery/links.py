"""Which sightings are of one server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Mark = tuple[str, str, int]
"""What two sightings of one server have in common: ``("id", id, 0)`` or ``("at", host, port)``."""

_NO_MARKS: Final[frozenset[Mark]] = frozenset()


class Links:
    """Sightings by their marks; those that share one, directly or through others, are one server.

    Law: what anybody may announce never joins two servers that somebody trusted named, else one
    forged announcement would turn a whole fleet into one backend.
    """

    __slots__ = ("_by_mark", "_marks", "_trusted")

    def __init__(self) -> None:
        self._marks: dict[str, frozenset[Mark]] = {}
        self._by_mark: dict[Mark, set[str]] = {}
        self._trusted: set[str] = set()

    def __len__(self) -> int:
        return len(self._marks)

    def put(self, key: str, marks: Iterable[Mark], *, trusted: bool) -> None:
        """Give a sighting its marks, in place of those that it had."""
        self.drop(key)
        self._marks[key] = fresh = frozenset(marks)
        for mark in fresh:
            self._by_mark.setdefault(mark, set()).add(key)
        if trusted:
            self._trusted.add(key)

    def drop(self, key: str) -> None:
        """Forget a sighting; unknown ones are ignored."""
        self._trusted.discard(key)
        for mark in self._marks.pop(key, _NO_MARKS):
            keys = self._by_mark[mark]
            keys.discard(key)
            if not keys:
                del self._by_mark[mark]

    def marks(self, key: str) -> frozenset[Mark]:
        """Return the marks of a sighting; an unknown one has none."""
        return self._marks.get(key, _NO_MARKS)

    def at(self, mark: Mark, *, trusted: bool = False) -> set[str]:
        """Return the sightings that have ``mark``, or only the trusted ones of them."""
        keys = self._by_mark.get(mark, set())
        return keys & self._trusted if trusted else set(keys)

    def groups(self, keys: Iterable[str]) -> list[set[str]]:
        """Return the servers that ``keys`` and what is linked to them are sightings of, each once."""
        groups: list[set[str]] = []
        seen: set[str] = set()
        for key in sorted(keys):
            if key in self._marks and key not in seen:
                whole = self._spread({key}, None)
                seen |= whole
                groups += self._split(whole)
        return groups

    def _split(self, whole: set[str]) -> list[set[str]]:
        """Give each trusted server in ``whole`` what is nearest to it."""
        trusted = whole & self._trusted
        groups: list[set[str]] = []
        left = set(trusted)
        while left:
            group = self._spread({min(left)}, trusted)
            left -= group
            groups.append(group)
        if len(groups) < 2:
            return [whole]
        free = whole - trusted
        edges = groups
        while free:
            grown: list[set[str]] = []
            for group, edge in zip(groups, edges, strict=True):
                near = self._neighbours(edge) & free
                free -= near
                group.update(near)
                grown.append(near)
            edges = grown
        return groups

    def _spread(self, start: set[str], within: set[str] | None) -> set[str]:
        found = edge = set(start)
        while edge:
            near = self._neighbours(edge)
            edge = (near if within is None else near & within) - found
            found = found | edge
        return found

    def _neighbours(self, keys: Iterable[str]) -> set[str]:
        near: set[str] = set()
        for key in keys:
            for mark in self._marks[key]:
                near |= self._by_mark[mark]
        return near
