"""Which models a name stands for: exact ids, aliases, pins and fallback chains.

Precomputed from the rules once per change of them, and asked with the index of one snapshot, so
that one decision sees one configuration.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from fnmatch import translate
from typing import Final

import msgspec

from nexus.domain import RoutingRules

MAX_HOPS: Final = 3
_LATEST: Final = ":latest"
_WILDCARDS: Final = re.compile(r"[*?\[]")


def bare(name: str) -> str:
    """Return the one spelling under which ``x`` and ``x:latest`` are indexed.

    Source: Ollama, docs/api.md, "Model names": the tag is optional and defaults to ``latest``.
    """
    return name.removesuffix(_LATEST) if name.endswith(_LATEST) and name != _LATEST else name


class Resolution(msgspec.Struct, frozen=True):
    """What one name stands for.

    Attributes:
        chain: bare model ids in the order in which they are tried: the resolved one and its
            fallbacks. Never empty; an id that nobody offers stays in it.
        pinned: id of the one backend that may serve it, or ``None``.
    """

    chain: tuple[str, ...]
    pinned: str | None = None


class NameTable:
    """Aliases and fallback chains of one set of rules.

    Args:
        rules: as configured.
    """

    __slots__ = ("_aliases", "_fallbacks", "_wildcards")

    def __init__(self, rules: RoutingRules) -> None:
        exact = {name: to for name, to in rules.aliases.items() if not _WILDCARDS.search(name)}
        globs = sorted(rules.aliases.keys() - exact.keys(), key=lambda glob: (-len(glob), glob))
        self._aliases = {bare(name): to for name, to in exact.items()} | exact
        self._wildcards = tuple((re.compile(translate(glob)), rules.aliases[glob]) for glob in globs)
        self._fallbacks = {bare(name): chain for name, chain in rules.fallbacks.items() if chain}

    @property
    def aliases(self) -> tuple[str, ...]:
        """Exact aliases, sorted: the ones that can be listed."""
        return tuple(sorted(self._aliases))

    def resolve(
        self,
        name: str,
        index: Container[str],
        pins: Mapping[str, str],
        offers: Mapping[str, Container[str]],
    ) -> Resolution:
        """Find what ``name`` stands for.

        Args:
            name: as the client wrote it.
            index: bare ids that are offered.
            pins: backend name to backend id.
            offers: backend id to the bare ids that it offers.

        Returns:
            The chain. An exact id comes first, then aliases (exact before the longest wildcard,
            up to ``MAX_HOPS``), then ``backend-name/model``, which has no fallbacks.
        """
        model = name if name in index else self._follow(name, index)
        if model not in index and "/" in model and (pin := _pin(model, pins, offers)) is not None:
            return pin
        fallbacks = self._fallbacks.get(model)
        if fallbacks is None:
            return Resolution((model,))
        chain = dict.fromkeys((model, *(self._follow(other, index) for other in fallbacks)))
        return Resolution(tuple(chain))

    def _follow(self, name: str, index: Container[str]) -> str:
        for _ in range(MAX_HOPS):
            if (key := bare(name)) in index:
                return key
            target = self._alias(name)
            if target is None or target == name:
                return key
            name = target
        return bare(name)

    def _alias(self, name: str) -> str | None:
        aliases = self._aliases
        if aliases and (target := aliases.get(name) or aliases.get(bare(name))) is not None:
            return target
        for pattern, target in self._wildcards:
            if pattern.match(name):
                return target
        return None


def _pin(name: str, pins: Mapping[str, str], offers: Mapping[str, Container[str]]) -> Resolution | None:
    at = name.find("/")
    while at != -1:
        backend_id = pins.get(name[:at])
        model = bare(name[at + 1 :])
        if backend_id is not None and model in offers[backend_id]:
            return Resolution((model,), backend_id)
        at = name.find("/", at + 1)
    return None
