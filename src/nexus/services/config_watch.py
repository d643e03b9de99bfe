"""Tells when the configuration file has changed and come to rest.

Laws: a file that is being written is left alone until two looks in a row see the same; a file
that is replaced, as editors and Kubernetes do it, has changed; one that vanishes is missed once,
and nothing else happens. Only a regular file is watched: a pipe can be read only once.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nexus.tasks import Clock

POLL_SECONDS: Final = 1.0

_Mark = tuple[int, ...]
_MISSING: Final[_Mark] = ()
_UNSEEN: Final[_Mark] = (-1,)


class ConfigWatch:
    """Looks at one file again and again.

    Args:
        find: the file to look at, or ``None`` while there is none.
        changed: called after a change; also once after the start, for a change meanwhile.
        vanished: called once when the file is gone.
        clock: the time between two looks.
    """

    def __init__(
        self,
        find: Callable[[], Path | None],
        changed: Callable[[], None],
        vanished: Callable[[Path], None],
        clock: Clock,
    ) -> None:
        self._find = find
        self._changed = changed
        self._vanished = vanished
        self._clock = clock
        self._last = _UNSEEN
        self._told = _UNSEEN

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            self.look()
            await self._clock.sleep(POLL_SECONDS)

    def look(self) -> None:
        """Look once, and tell what has come to rest since the last look."""
        path = self._find()
        mark = _MISSING if path is None else _mark(path)
        at_rest = mark == self._last
        self._last = mark
        if not at_rest or mark == self._told:
            return
        first = self._told is _UNSEEN
        self._told = mark
        if mark:
            self._changed()
        elif path is not None and not first:
            self._vanished(path)


def watchable(path: Path) -> bool:
    """Whether a file can be read again: a pipe or a device cannot. One that is missing may come back."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _mark(path: Path) -> _Mark:
    """Return what changes whenever the file does; links are followed."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError as error:
        # To be told as a fault of the file by whoever reads it.
        return (error.errno or 0,)
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
