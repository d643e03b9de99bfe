"""``/v1/models``: rendered once a snapshot for clients, and for each other gateway that asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from nexus.protocol.headers import passed_gateways
from nexus.registry.registry import Registry
from nexus.registry.snapshot import Snapshot
from nexus.registry.views import Asker, ModelRow, model_rows

_ASKERS_MAX: Final = 16
"""Lists kept at once: who asks chooses the header."""


class Rendered(msgspec.Struct, frozen=True):
    """The list as bytes.

    Attributes:
        page: the whole of it.
        rows: each row by its id.
    """

    page: bytes
    rows: dict[str, bytes]


class ModelList:
    """The models as clients see them, and as gateways do that may stand on both sides of us.

    Args:
        registry: the truth.
        gateway_id: our own id.
    """

    __slots__ = ("_gateway_id", "_gateways", "_lists", "_registry", "_snapshot")

    def __init__(self, registry: Registry, gateway_id: str) -> None:
        self._registry = registry
        self._gateway_id = gateway_id
        self._snapshot: Snapshot | None = None
        self._lists: dict[frozenset[str] | None, Rendered] = {}
        self._gateways: frozenset[str] = frozenset()

    def get(self, via: bytes | None) -> Rendered:
        """Return the list, which must not cost more with more offline backends.

        Args:
            via: the request's ``X-Nexus-Via``; ``None`` for a client.
        """
        snapshot = self._registry.snapshot
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._lists.clear()
            self._gateways = _gateways_of(snapshot)
        # Only ids that some path holds make a difference, so strangers share one list.
        passed = None if via is None else self._gateways.intersection(passed_gateways(via))
        found = self._lists.get(passed)
        if found is None:
            if len(self._lists) >= _ASKERS_MAX:
                self._lists.clear()
            found = self._lists[passed] = _render(self._rows(snapshot, passed))
        return found

    def _rows(self, snapshot: Snapshot, passed: frozenset[str] | None) -> Sequence[ModelRow]:
        if passed is None:
            return self._registry.model_rows()
        return model_rows(snapshot, Asker(self._gateway_id, passed))


def _gateways_of(snapshot: Snapshot) -> frozenset[str]:
    """Return every id on the way to some model."""
    ways = (candidate.model.via for found in snapshot.index.values() for candidate in found)
    return frozenset(gateway for via in ways for gateway in via)


def _render(rows: Sequence[ModelRow]) -> Rendered:
    encoded = {row.id: msgspec.json.encode(row) for row in rows}
    return Rendered(b'{"object":"list","data":[' + b",".join(encoded.values()) + b"]}", encoded)
