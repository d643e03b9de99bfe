"""Asks a server at one of its addresses after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from nexus.backends.detect import Verdict
from nexus.domain import BackendSpec, Origin
from nexus.services.discovery.servers import Target

Examine = Callable[[BackendSpec], Awaitable[Verdict | None]]


class Answer(msgspec.Struct, frozen=True):
    """What an examination came to.

    Attributes:
        target: where the server serves, or ``None``.
        verdict: what it is there.
        answered: something answered somewhere, whether it serves or not.
    """

    target: Target | None = None
    verdict: Verdict | None = None
    answered: bool = False


async def ask(ways: Iterable[Target], draft: Callable[[Target], BackendSpec], examine: Examine) -> Answer:
    """Try ``ways`` in their order until one serves; an origin that is silent is asked once.

    Args:
        ways: best first.
        draft: what would be registered for one of them.
        examine: says what answers there; ``None`` when nothing does.
    """
    silent: set[Origin] = set()
    answered = False
    for way in ways:
        if way.origin in silent:
            continue
        verdict = await examine(draft(way))
        if verdict is None:
            silent.add(way.origin)
        elif verdict.serves:
            return Answer(way, verdict, answered=True)
        else:
            answered = True
    return Answer(answered=answered)
