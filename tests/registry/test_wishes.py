from __future__ import annotations

import asyncio

from tests.registry.fleet import add, registry

from nexus.registry import Wish


async def test_many_wishes_for_one_backend_are_one() -> None:
    target = registry()
    add(target, "a")
    add(target, "b")
    target.wish_check("a", "first")
    target.wish_check("b", "other")
    target.wish_refresh("a", "stale")
    target.wish_check("a", "last")
    assert await target.next_wish() == Wish("a", refresh=True, reason="last")
    assert await target.next_wish() == Wish("b", refresh=False, reason="other")


async def test_waiting_ends_with_the_next_wish() -> None:
    target = registry()
    add(target, "a")
    waiting = asyncio.create_task(target.next_wish())
    await asyncio.sleep(0)
    assert not waiting.done()
    target.mark_unreachable("a", "refused")
    assert await waiting == Wish("a", refresh=False, reason="refused")


async def test_a_removed_backend_wishes_nothing() -> None:
    target = registry()
    add(target, "a")
    add(target, "b")
    target.wish_check("a", "x")
    target.remove("a")
    target.wish_check("a", "late")
    target.wish_refresh("a")
    target.mark_unreachable("a", "late")
    target.wish_check("b", "y")
    assert (await target.next_wish()).backend_id == "b"
    assert not target._wishes
