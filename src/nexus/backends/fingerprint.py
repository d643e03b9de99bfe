"""The shape of replies: what stays the same while one server answers, and differs between two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.backends.base import Probe, Root
from nexus.errors import NexusError
from nexus.http.client import Fetched
from nexus.protocol.headers import Header, find

_HEADERS: Final = (b"server", b"x-powered-by", b"content-type")
_LISTS: Final = ("data", "models")


class Shape(msgspec.Struct, frozen=True):
    """One reply without its values.

    Attributes:
        status: its status.
        headers: the values of the headers that name a server.
        keys: of its object.
        fields: of the rows of its list, those inside an object too; empty without rows.
        owners: of the models in it.
    """

    status: int
    headers: tuple[bytes | None, ...]
    keys: frozenset[str]
    fields: frozenset[str]
    owners: frozenset[str]

    def differs(self, other: Shape) -> bool:
        """Tell whether two replies to one question may be of two servers; an empty list tells nothing."""
        if (self.status, self.headers, self.keys) != (other.status, other.headers, other.keys):
            return True
        return bool(self.fields and other.fields) and (self.fields, self.owners) != (
            other.fields,
            other.owners,
        )


Shapes = Mapping[str, Shape]
"""By what was asked."""

_NONE: Final[Shapes] = MappingProxyType({})


class ShapeChanged(NexusError):
    """A reply has another shape than the last one to the same question."""


class ShapingProbe:
    """Passes questions on to ``probe`` and keeps the shape of each answer to a GET.

    Args:
        probe: asks the backend.
        expected: the shapes of last time. The first answer that differs ends the round with
            :class:`ShapeChanged`: what is free to ask one server may cost the next one a token.

    Attributes:
        shapes: of the answers so far.
    """

    __slots__ = ("_expected", "_probe", "shapes")

    def __init__(self, probe: Probe, expected: Shapes = _NONE) -> None:
        self._probe = probe
        self._expected = expected
        self.shapes: dict[str, Shape] = {}

    async def get(self, path: str, *, root: Root = "native", headers: Sequence[Header] = ()) -> Fetched:
        """See :meth:`Probe.get`.

        Raises:
            ShapeChanged: another server may have answered.
        """
        reply = await self._probe.get(path, root=root, headers=headers)
        asked = f"{root} {path}"
        shape = self.shapes[asked] = shape_of(reply)
        before = self._expected.get(asked)
        if before is not None and shape.differs(before):
            raise ShapeChanged(f"{path} answers in another shape")
        return reply

    async def post(
        self, path: str, body: bytes, *, root: Root = "native", headers: Sequence[Header] = ()
    ) -> Fetched:
        """See :meth:`Probe.post`."""
        return await self._probe.post(path, body, root=root, headers=headers)


def shape_of(reply: Fetched) -> Shape:
    """Return the shape of one reply."""
    payload = shapes.mapping(shapes.decode(reply.body))
    rows = [row for name in _LISTS for row in shapes.rows(payload.get(name))]
    return Shape(
        status=reply.status,
        headers=tuple(find(reply.headers, name) for name in _HEADERS),
        keys=frozenset(payload),
        fields=frozenset(field for row in rows for field in _fields(row)),
        owners=frozenset(owner for row in rows if (owner := shapes.text(row.get("owned_by")))),
    )


def _fields(row: shapes.Row) -> Iterator[str]:
    for key, value in row.items():
        yield key
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)
