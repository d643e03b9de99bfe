"""How late the event loop is: what every request feels when something blocks it."""

from __future__ import annotations

from typing import Final

from nexus.observe.histogram import Histogram
from nexus.tasks import Clock

EVERY_SECONDS: Final = 0.5
LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """Sleeps, and notes how much later than asked it was woken.

    Args:
        clock: the time.

    Attributes:
        seconds: every lateness so far.
    """

    __slots__ = ("_clock", "seconds")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = Histogram(LAG_BUCKETS)

    async def run(self) -> None:
        """Measure until cancelled: two wake-ups a second."""
        clock = self._clock
        while True:
            due = clock.now() + EVERY_SECONDS
            await clock.sleep(EVERY_SECONDS)
            self.seconds.add(max(0.0, clock.now() - due))
