"""What is remembered of ended requests: bounded, the oldest forgotten first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Outcome
from nexus.observe.history import RequestHistory


def history(requests: int, size: int) -> RequestHistory[int]:
    return RequestHistory(requests, size, lambda _, weight: weight)


@given(
    st.integers(0, 8),
    st.integers(0, 60),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 30))),
    st.tuples(st.integers(0, 8), st.integers(0, 60)),
)
def test_it_keeps_the_newest_that_fit(
    requests: int, size: int, ended: list[tuple[str, int]], later: tuple[int, int]
) -> None:
    target = history(requests, size)
    for name, weight in ended:
        target.remember(Outcome(name, "chat"), weight)
        check(target, requests, size)
    target.resize(*later)
    check(target, *later)
    assert target.seq == len(ended)


def check(target: RequestHistory[int], requests: int, size: int) -> None:
    kept = list(target.newest_first())
    assert len(kept) == len(target) <= requests
    assert sum(one.trail for one in kept) <= size
    assert [one.seq for one in kept] == list(range(target.seq, target.forgotten, -1))
    newest = {one.outcome.request_id: one.seq for one in reversed(kept)}
    for name in "abcdef":
        found = target.find(name)
        assert (found.seq if found else None) == newest.get(name)


def test_pages_go_backwards_and_news_go_forwards() -> None:
    target = history(10, 1000)
    for number in range(1, 8):
        target.remember(Outcome(f"r{number}", "chat"), 1)
    assert [one.seq for one in target.newest_first(before=4)] == [3, 2, 1]
    assert [one.seq for one in target.since(5)] == [6, 7]
    assert target.since(7) == []
