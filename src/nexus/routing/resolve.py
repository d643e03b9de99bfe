"""Names: what one stands for, whether it was ever known, and which known names are near."""

from __future__ import annotations

import heapq
import itertools
from difflib import SequenceMatcher
from typing import Final

from nexus.registry import Resolution, Snapshot, bare

_NEAREST: Final = 3
_NAMES_MAX: Final = 2000
_LENGTH_MAX: Final = 100
_COMPARED: Final = 24
_SIMILAR: Final = 0.55


def names(snapshot: Snapshot, name: str) -> Resolution:
    """Return the chain of model ids (and the pinned backend) that ``name`` stands for."""
    return snapshot.resolve(name)


def is_known(snapshot: Snapshot, name: str, resolution: Resolution) -> bool:
    """Return whether some backend has had ``name`` or what it resolves to."""
    known = snapshot.known_models
    return bare(name) in known or any(model in known for model in resolution.chain)


def nearest(snapshot: Snapshot, name: str) -> tuple[str, ...]:
    """Return up to three names that can be asked for and resemble ``name``, nearest first.

    The cost is bounded whatever the name and however many models there are: names sharing most
    pairs of letters are found first, and only these are compared in earnest.
    """
    wanted = name[:_LENGTH_MAX].casefold()
    pairs = _pairs(wanted)
    offered = itertools.chain(snapshot.names.aliases, snapshot.index)
    scored = (
        (len(pairs & _pairs(other[:_LENGTH_MAX].casefold())) / (len(pairs) + len(other)), other)
        for other in itertools.islice(dict.fromkeys(offered), _NAMES_MAX)
    )
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    close: list[tuple[float, str]] = []
    for _, other in heapq.nlargest(_COMPARED, scored):
        matcher.set_seq1(other[:_LENGTH_MAX].casefold())
        if (ratio := matcher.ratio()) >= _SIMILAR:
            close.append((-ratio, other))
    return tuple(other for _, other in sorted(close)[:_NEAREST])


def _pairs(text: str) -> set[str]:
    return {text[at : at + 2] for at in range(len(text) - 1)} or {text}
