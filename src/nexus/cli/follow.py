"""Follows the requests that end: each once and in order, whatever happens to the connection.

Law: a request's number says whether it was told already. What an event does not hold, because the
connection broke or too much ended at once, is fetched; and what is not kept any more is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from nexus.cli.administration import Administration
from nexus.cli.reading import count, rows
from nexus.cli.remote import Unanswered
from nexus.cli.stream import BEGUN

PAGE: Final = 1000


class News(NamedTuple):
    """What ended, oldest first, after ``skipped`` others that cannot be had any more."""

    requests: list[dict[str, Any]]
    skipped: int


class Follower:
    """Where one reader is.

    Args:
        administration: who is asked.
        wanted: what ``GET /admin/requests`` filters by.
    """

    def __init__(self, administration: Administration, wanted: Mapping[str, str]) -> None:
        self._administration = administration
        self._wanted = {name: value for name, value in wanted.items() if value}
        self._position = 0
        self._id = ""

    def last(self, number: int) -> News:
        """Return the newest ``number`` requests that match, and go on from there."""
        page = self._administration.requests(limit=1)
        newest = rows(page, "data")
        if not newest:
            self._position = count(page, "forgotten")
            return News([], 0)
        self._stand_at(newest[0])
        found, _ = self._before(self._position + 1, 0, number)
        return News(found, 0)

    def missed(self) -> News:
        """Return what ended since, after a connection was made anew."""
        position = self._position if self._same_run() else 0
        newest = rows(self._administration.requests(limit=1), "data")
        return self._between(position, newest[0]) if newest else News([], 0)

    def event(self, data: Mapping[str, Any]) -> News:
        """Return what is new in an event."""
        told = rows(data, "data")
        fresh = [one for one in told if count(one, "seq") > self._position]
        if not fresh:
            # Where none are kept, that they ended is all there is to tell.
            return News([], 0 if told else count(data, "skipped"))
        if self._wanted or count(fresh[0], "seq") != self._position + 1:
            return self._between(self._position, fresh[-1])
        self._stand_at(fresh[-1])
        return News(fresh, 0)

    def _between(self, position: int, newest: Mapping[str, Any]) -> News:
        """Fetch what came after ``position`` up to ``newest``, and stand there."""
        top = count(newest, "seq")
        found, forgotten = self._before(top + 1, position, None)
        # Without a filter numbers have no gaps; with one, any that was forgotten may have matched.
        kept_from = forgotten + 1 if self._wanted else count(found[0], "seq") if found else top + 1
        self._stand_at(newest)
        return News(found, max(0, min(kept_from, top + 1) - position - 1))

    def _before(self, seq: int, after: int, limit: int | None) -> tuple[list[dict[str, Any]], int]:
        """Return those that match with numbers between ``after`` and ``seq``, and how many are forgotten."""
        found: list[dict[str, Any]] = []
        forgotten = 0
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self._administration.requests(limit=size, before=seq, **self._wanted)
            fresh = [one for one in rows(page, "data") if count(one, "seq") > after]
            forgotten = count(page, "forgotten")
            found += fresh
            if len(fresh) < size:
                break
            seq = count(fresh[-1], "seq")
        return found[::-1], forgotten

    def _same_run(self) -> bool:
        """Tell whether numbers still mean what they did: another run begins with 1 again."""
        page = self._administration.requests(limit=1, before=self._position + 1)
        for there in rows(page, "data"):
            return (count(there, "seq"), str(there.get("id"))) == (self._position, self._id)
        return count(page, "forgotten") >= self._position

    def _stand_at(self, newest: Mapping[str, Any]) -> None:
        self._position = count(newest, "seq")
        self._id = str(newest.get("id"))


def news(administration: Administration, wanted: Mapping[str, str], number: int) -> Iterator[News | str]:
    """Yield the newest requests and then what ends, for ever; a string tells of the connection.

    Raises:
        Unanswered: it cannot be had, or this reader is not let in any more.
    """
    follower = Follower(administration, wanted)
    begun = broken = False
    for event in administration.events("requests").follow():
        try:
            if isinstance(event, Unanswered):
                raise event
            if event.name == "requests":
                yield follower.event(event.data)
            elif event.name == BEGUN:
                yield follower.missed() if begun else follower.last(number)
                if broken:
                    yield "Connected again."
                begun, broken = True, False
        except Unanswered as error:
            # Who was never let in is not told to wait, nor is who is not let in any more.
            if not begun or 400 <= error.status < 500:
                raise
            if not broken:
                yield f"{error.message} Trying again."
            broken = True
