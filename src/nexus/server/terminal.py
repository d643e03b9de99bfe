"""Lines for the person at the terminal, who may read slowly or have gone long ago.

Law: nobody waits for a reader. A pipe that nobody empties would otherwise stop every request with
the first line that does not fit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

Announce = Callable[[str], None]

MAX_PENDING: Final = 10_000


class Terminal:
    """Announces lines in their order, from a thread of its own.

    Args:
        announce: takes a line and may block; that it fails is of no interest.
        max_pending: lines that may wait; those beyond are dropped.
    """

    def __init__(self, announce: Announce, max_pending: int = MAX_PENDING) -> None:
        self._announce = announce
        self._lines: queue.Queue[str | None] = queue.Queue(max_pending)
        self._thread = threading.Thread(target=self._run, name="nexus-terminal", daemon=True)

    def start(self) -> None:
        """Start the thread; it does not keep the process alive."""
        self._thread.start()

    def say(self, line: str) -> None:
        """Take one line."""
        with suppress(queue.Full):
            self._lines.put_nowait(line)

    def close(self, timeout: float = 1.0) -> None:
        """Announce what waits, but give up on a reader after ``timeout`` seconds."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            # Whoever closed the terminal does not want to read: there is nobody to tell.
            with suppress(OSError, ValueError):
                self._announce(line)
