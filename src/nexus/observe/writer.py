"""A log writer that never makes a request wait.

Law: a blocked log pipe never blocks requests; what does not fit is dropped and counted.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_PENDING_BYTES: Final = 4 * 1024 * 1024
DROPPED: Final = "log lines were dropped because the log was not read"
_FLUSH_SECONDS: Final = 0.2


class LineWriter:
    """Collects lines and writes them from a thread of its own, in batches.

    Args:
        descriptor: where lines go, such as 2 for stderr; it stays open.
        max_pending_bytes: held while the descriptor takes nothing.

    Attributes:
        dropped: lines that did not fit.
        notice: makes the line that says how many were dropped since the last one.
    """

    def __init__(self, descriptor: int, max_pending_bytes: int = MAX_PENDING_BYTES) -> None:
        self._descriptor = descriptor
        self._max_pending = max_pending_bytes
        self._pending: deque[bytes] = deque()
        self._taken_bytes = 0
        self._written_bytes = 0
        self._told = 0
        self._closing = threading.Event()
        self._worker: threading.Thread | None = None
        self.dropped = 0
        self.notice: Callable[[int], bytes] = lambda lost: b"%b: %d\n" % (DROPPED.encode(), lost)

    def start(self) -> None:
        """Start the thread; it does not keep the process alive."""
        self._worker = threading.Thread(target=self._run, name="nexus-log", daemon=True)
        self._worker.start()

    def write(self, line: bytes) -> None:
        """Take one line, with its line break; drop it when too much is pending."""
        taken = self._taken_bytes + len(line)
        if taken - self._written_bytes > self._max_pending:
            self.dropped += 1
            return
        self._taken_bytes = taken
        self._pending.append(line)

    def close(self, timeout: float = 1.0) -> None:
        """Write what is pending, waiting at most ``timeout`` seconds for a blocked descriptor."""
        self._closing.set()
        if self._worker is not None:
            self._worker.join(timeout)
            self._worker = None
        else:
            self._flush()

    def _run(self) -> None:
        while not self._closing.wait(_FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while self._pending:
            lines.append(self._pending.popleft())
        data = b"".join(lines)
        lost = self.dropped - self._told
        if lost:
            self._told += lost
            data += self.notice(lost)
        if data:
            _write_all(self._descriptor, data)
        # Each counter has one writing thread, so no lock is needed.
        self._written_bytes += sum(map(len, lines))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            threading.Event().wait(0.05)
        except OSError:
            # The reader has gone: there is nobody left to tell.
            return
