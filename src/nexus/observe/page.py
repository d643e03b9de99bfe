"""Metric families as the text of a page, in small pieces.

Law: a page of thousands of series takes longer to write than a request may wait, so that whoever
writes it can let others run between two pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

ROWS: Final = 100
"""Series in one piece: about a millisecond."""

_END: Final = b"# EOF\n"
_HEAD_LINES: Final = 2

Encoder = Callable[[Collector], bytes]


class _One(Collector):
    """A single family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def pieces(families: Iterable[Metric], encode: Encoder) -> Iterator[bytes]:
    """Yield the page; the pieces together are what ``encode`` makes of all families at once.

    Args:
        families: taken one by one, each when the one before it was written.
        encode: one of the library's.
    """
    end = b""
    for family in families:
        for at in range(0, max(1, len(family.samples)), ROWS):
            part = Metric(family.name, family.documentation, family.type)
            part.samples = family.samples[at : at + ROWS]
            text = encode(_One(part))
            if text.endswith(_END):
                text, end = text[: -len(_END)], _END
            yield text.split(b"\n", _HEAD_LINES)[_HEAD_LINES] if at else text
    yield end
