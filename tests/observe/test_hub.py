"""Outcomes reach everyone, in a row, whatever one of them does."""

from __future__ import annotations

from collections.abc import Callable

from nexus.domain import Outcome
from nexus.observe.hub import OutcomeHub


class Fails:
    """A consumer that cannot take the first of a row."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, outcome: Outcome, _: int = 0) -> None:
        if outcome.request_id == "1":
            raise ValueError("a defect")
        self.taken.append(outcome.request_id)


def test_what_ends_in_one_round_comes_together_and_a_defect_stops_nobody() -> None:
    rounds: list[Callable[[], None]] = []
    bad, good, history = Fails(), list[str](), Fails()
    hub = OutcomeHub(rounds.append, history.take, bad.take, lambda outcome: good.append(outcome.request_id))
    for number in range(1, 4):
        hub.publish(Outcome(str(number), "chat"), 0)
    assert (len(rounds), good) == (1, [])
    rounds.pop()()
    assert (bad.taken, good, history.taken) == (["2", "3"], ["1", "2", "3"], ["2", "3"])
    hub.deliver()
    assert len(good) == 3
    hub.publish(Outcome("4", "chat"), 0)
    assert len(rounds) == 1


def test_without_a_loop_an_outcome_is_taken_at_once() -> None:
    def soon(_: Callable[[], None]) -> None:
        raise RuntimeError("no running event loop")

    taken: list[str] = []
    hub: OutcomeHub[int] = OutcomeHub(soon, lambda outcome, _: taken.append(outcome.request_id))
    hub.publish(Outcome("1", "chat"), 0)
    hub.publish(Outcome("2", "chat"), 0)
    assert taken == ["1", "2"]
