"""What is remembered of ended requests: bounded, the oldest forgotten first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Outcome
from nexus.observe.history import RequestHistory


class Labelled:
    """Keeps the id as it is, and a number as what is shared: it weighs what it says."""

    def pack(self, outcome: Outcome, trail: tuple[int, ...]) -> tuple[bytes, tuple[int, ...]]:
        return outcome.request_id.encode(), trail

    def unpack(self, data: bytes, sources: tuple[int, ...]) -> tuple[Outcome, tuple[int, ...]]:
        return Outcome(data.decode(), "chat"), sources

    def weigh(self, sources: tuple[int, ...]) -> int:
        return sources[0]


Ring = RequestHistory[tuple[int, ...], tuple[int, ...]]


def history(requests: int, size: int) -> Ring:
    return RequestHistory(requests, size, Labelled())


@given(
    st.integers(0, 8),
    st.integers(0, 900),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 30), st.booleans())),
    st.tuples(st.integers(0, 8), st.integers(0, 900)),
)
def test_it_keeps_the_newest_that_fit(
    requests: int, size: int, ended: list[tuple[str, int, bool]], later: tuple[int, int]
) -> None:
    target = history(requests, size)
    shared = (1,)
    for name, weight, anew in ended:
        shared = (weight,) if anew else shared
        target.remember(Outcome(name, "chat"), shared)
        check(target, requests, size)
    target.resize(*later)
    check(target, *later)
    assert target.seq == len(ended)


def check(target: Ring, requests: int, size: int) -> None:
    kept = list(target.newest_first())
    assert len(kept) == len(target) <= requests
    rows = [one.trail for one in kept]
    weights = [row[0] for at, row in enumerate(rows) if not at or rows[at - 1] is not row]
    assert target.size == sum(weights) + 81 * len(kept) <= size or not kept
    assert [one.seq for one in kept] == list(range(target.seq, target.forgotten, -1))
    newest = {one.outcome.request_id: one.seq for one in reversed(kept)}
    for name in "abcdef":
        found = target.find(name)
        assert (found.seq if found else None) == newest.get(name)


def test_pages_go_backwards_and_news_go_forwards() -> None:
    target = history(10, 1000)
    for number in range(1, 8):
        target.remember(Outcome(f"r{number}", "chat"), (1,))
    assert [one.seq for one in target.newest_first(before=4)] == [3, 2, 1]
    assert [one.seq for one in target.newest_first(before=40)] == [7, 6, 5, 4, 3, 2, 1]
    assert [one.seq for one in target.since(5, 10)] == [6, 7]
    assert [one.seq for one in target.since(2, 3)] == [5, 6, 7]
    assert target.since(7, 10) == []


def test_an_id_within_another_is_not_taken_for_it() -> None:
    target = history(10, 10_000)
    for name in ("12", "123"):
        target.remember(Outcome(name, "chat"), (1,))
    found = target.find("12")
    assert found is not None
    assert found.seq == 1
    assert target.find("2") is None
