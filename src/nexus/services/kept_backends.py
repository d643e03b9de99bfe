"""Backends that were added while Nexus ran, kept for its next start.

Several gateways of one user share one file. Laws held here: each changes only the entries that it
added itself, one at a time, on the file as it is at that moment and under a lock, so nobody's
entry is lost by somebody else's change; a file that cannot be kept is a warning, never a failure;
names and addresses are in it, keys never.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from nexus.config.kinds import Mismatch
from nexus.config.manual import Manual, read_manual
from nexus.config.state_folder import read_state, set_aside, write_state
from nexus.observe.events import EventLog
from nexus.tasks import Clock

if sys.platform != "win32":
    import fcntl

_log: Final = EventLog("admin")

FILE: Final = "backends.json"
LOCK_SECONDS: Final = 2.0
_LOCK_PAUSE_SECONDS: Final = 0.05
_DRAINING: Final = "draining"

_Rows = list[dict[str, Any]]


class _File(msgspec.Struct):
    """The file's shape; rows are checked one by one."""

    backends: _Rows
    version: int = 1


class KeptBackends:
    """The file of added backends.

    Args:
        folder: where it lies; made when the first backend is kept.
        clock: for waiting while another gateway writes.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._clock = clock
        self._own: dict[str, Manual] = {}
        self._writing = asyncio.Lock()

    def load(self) -> tuple[Manual, ...]:
        """Read the file; what is wrong with it is logged, and left out or set aside."""
        kept: list[Manual] = []
        try:
            rows = self._read()
        except OSError as error:
            _log.warning("cannot read the added backends", file=str(self._path), reason=_why(error))
            return ()
        for row in rows:
            try:
                kept.append(_manual(row))
            except Mismatch as error:
                _log.warning("left an added backend out", file=str(self._path), reason=str(error))
        self._own = {manual.name: manual for manual in kept}
        return tuple(self._own.values())

    async def keep(self, manual: Manual) -> str:
        """Write one backend down, in place of what is kept of it so far.

        Returns:
            What the operator should know, or nothing when it is kept.
        """
        return await self._change(manual.name, manual)

    async def forget(self, name: str) -> str:
        """Take one backend out of the file; see :meth:`keep`."""
        return await self._change(name, None)

    async def _change(self, name: str, manual: Manual | None) -> str:
        async with self._writing:
            before = self._own.get(name)
            deadline = self._clock.now() + LOCK_SECONDS
            try:
                while not await asyncio.to_thread(self._write_locked, name, before, manual):
                    if self._clock.now() >= deadline:
                        return self._unkept(name, f"another process holds {self._path}.lock")
                    await self._clock.sleep(_LOCK_PAUSE_SECONDS)
            except _TakenElsewhere:
                reason = f"another Nexus that shares {self._folder} keeps a different backend of this name"
                return self._unkept(name, reason)
            except OSError as error:
                return self._unkept(name, f"{self._path}: {_why(error)}")
            if manual is None:
                self._own.pop(name, None)
            else:
                self._own[name] = manual
            return ""

    def _unkept(self, name: str, reason: str) -> str:
        _log.warning("an added backend is not kept as it is now", backend=name, reason=reason)
        return f"In force until Nexus ends, but not kept for its next start: {reason}."

    def _write_locked(self, name: str, before: Manual | None, after: Manual | None) -> bool:
        """Change one entry in the file as it is now; False while somebody else does."""
        if before is None and after is None:
            return True
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._folder / f"{FILE}.lock") as free:
            if free:
                rows = self._merged(self._read(), name, before, after)
                data = msgspec.json.encode(_File(rows))
                write_state(self._path, msgspec.json.format(data) + b"\n")
            return free

    def _merged(self, rows: _Rows, name: str, before: Manual | None, after: Manual | None) -> _Rows:
        there = next((row for row in rows if row.get("name") == name), None)
        foreign = there is not None and there.get("url") != getattr(before, "url", None)
        if foreign and after is not None and there is not None and there.get("url") != after.url:
            raise _TakenElsewhere
        if foreign and after is None:
            return rows
        others = [row for row in rows if row is not there]
        return others if after is None else [*others, msgspec.to_builtins(after)]

    def _read(self) -> _Rows:
        """Return the rows as they stand in the file; one that is no such file is set aside."""
        data = read_state(self._path)
        if data is None:
            return []
        try:
            return msgspec.json.decode(data, type=_File).backends
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            aside = set_aside(self._path)
            _log.warning(
                "the file of added backends cannot be understood and is set aside",
                file=str(aside),
                reason=str(error),
            )
            # What this gateway knows is right; what others had added they still know themselves.
            return [msgspec.to_builtins(manual) for manual in self._own.values()]


class _TakenElsewhere(Exception):
    """Another gateway keeps another backend under this name."""


def _manual(row: dict[str, Any]) -> Manual:
    draining = row.get(_DRAINING, False)
    if not isinstance(draining, bool):
        raise Mismatch("expected true or false", (_DRAINING,))
    manual, _ = read_manual({key: value for key, value in row.items() if key != _DRAINING}, draining)
    return manual


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock that all gateways share the file by; yields False when another one has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
        yield True
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    return error.strerror or str(error)
