"""Which names and addresses are free for one more backend.

Law: two that add one name or one address at once are not both served.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nexus.config.manual import Manual
from nexus.config.url import BackendUrl
from nexus.domain import BackendSpec, DiscoverySource
from nexus.errors import Conflict
from nexus.registry import Registry

_NAMED: Final = frozenset({DiscoverySource.STATIC, DiscoverySource.MANUAL})
_LOOPBACK: Final = frozenset({"localhost", "::1"})
_NAME_LENGTH: Final = 64

_Place = tuple[str, str, int, str]


class Places:
    """Names and addresses that are taken, by backends and by those that are being added.

    Args:
        registry: the backends.
    """

    __slots__ = ("_adding", "_registry")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._adding: list[Manual] = []

    @contextmanager
    def reserved(self, manual: Manual) -> Iterator[None]:
        """Hold a name and an address while their server is asked.

        Raises:
            Conflict: one of them is taken, or being added just now.
        """
        self.refuse_taken(manual)
        for other in self._adding:
            if other.name == manual.name or _place(other.parsed) == _place(manual.parsed):
                raise Conflict(f"'{other.name}' ({other.url}) is being added just now.")
        self._adding.append(manual)
        try:
            yield
        finally:
            self._adding.remove(manual)

    def refuse_taken(self, manual: Manual) -> None:
        """Refuse what somebody has named already; a server that was only found gives way.

        Raises:
            Conflict: the name or the address is taken.
        """
        place = _place(manual.parsed)
        for spec in self._specs():
            same, named = _spec_place(spec) == place, spec.source in _NAMED
            if same and named:
                raise Conflict(
                    f"'{spec.name}' is at this address already: change it with "
                    f"PATCH /admin/backends/{spec.id}, or remove it first.",
                    param="url",
                )
            # A found one keeps its id, and gives up its name: discovery renames it.
            taken = manual.name in (spec.id, spec.name) if named else manual.name == spec.id and not same
            if taken:
                raise Conflict(
                    f"The name '{manual.name}' is taken by {spec.origin}{spec.api_root}: choose another one.",
                    param="name",
                )

    def free_name(self, manual: Manual) -> str:
        """Return the name that was made from the address, with a number if another server has it."""
        place = _place(manual.parsed)
        taken = {
            name for spec in self._specs() if _spec_place(spec) != place for name in (spec.id, spec.name)
        }
        taken |= {other.name for other in self._adding if _place(other.parsed) != place}
        name, number = manual.name, 2
        while name in taken:
            name = f"{manual.name[: _NAME_LENGTH - len(str(number)) - 1]}-{number}"
            number += 1
        return name

    def doubled(self) -> list[BackendSpec]:
        """Return those that were added and are at the address of one in the configuration."""
        static = {_spec_place(spec) for spec in self._specs() if spec.source is DiscoverySource.STATIC}
        added = [spec for spec in self._specs() if spec.source is DiscoverySource.MANUAL]
        return [spec for spec in added if _spec_place(spec) in static]

    def _specs(self) -> Iterator[BackendSpec]:
        return (backend.spec for backend in self._registry.snapshot.backends.values())


def _place(url: BackendUrl) -> _Place:
    return url.scheme, _host(url.host), url.port, url.api_root


def _spec_place(spec: BackendSpec) -> _Place:
    return spec.origin.scheme, _host(spec.origin.host), spec.origin.port, spec.api_root


def _host(host: str) -> str:
    """Take the ways in which this computer is named for one."""
    return "127.0.0.1" if host in _LOOPBACK or host.endswith(".localhost") else host
