"""Defects of Nexus in work that goes on for ever.

Law: each is logged with its traceback once; a repetition is counted, not written again.
"""

from __future__ import annotations

from nexus.observe.events import EventLog


class Defects:
    """The defects of one piece of work that is done again and again.

    Args:
        log: takes the lines.
        event: what has happened, such as ``"a check failed by a defect of Nexus"``.
    """

    __slots__ = ("_event", "_last", "_log", "_times")

    def __init__(self, log: EventLog, event: str) -> None:
        self._log = log
        self._event = event
        self._last: tuple[object, ...] = ()
        self._times = 0

    def happened(self, error: Exception, **fields: object) -> None:
        """Log ``error``, unless it is the one of the last time.

        Args:
            error: what nobody expected.
            fields: of the line.
        """
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = (place.tb_frame.f_code, place.tb_lineno) if place is not None else ()
        same = (type(error), *where)
        if same == self._last:
            self._times += 1
            return
        self.over(**fields)
        self._last, self._times = same, 1
        self._log.error(self._event, error, **fields)

    def over(self, **fields: object) -> None:
        """Take note that the work was done: say how often the last defect came, if more than once."""
        if self._times > 1:
            self._log.info(f"{self._event}: that was the last time", times=self._times, **fields)
        self._last, self._times = (), 0
