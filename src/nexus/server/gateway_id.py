"""The id by which gateways know each other, the same after every restart.

Laws held here: two gateways never have one id, or each would take the other for itself; nothing
that is wrong with the folder keeps Nexus from starting.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
from pathlib import Path
from typing import IO, Final

from nexus.config.state_folder import read_state, set_aside, write_state
from nexus.observe.events import EventLog

if sys.platform != "win32":
    import fcntl

_log: Final = EventLog("server")

FILE: Final = "gateway-seed"
_SEED: Final = re.compile(rb"[0-9a-f]{32}\n")
_TWINS_MAX: Final = 64


class GatewayId:
    """An id that nobody else on this computer has, until :meth:`release`.

    Attributes:
        text: 16 hexadecimal digits.
    """

    __slots__ = ("_lock", "text")

    def __init__(self, text: str, lock: IO[bytes] | None = None) -> None:
        self.text = text
        self._lock = lock

    def release(self) -> None:
        """Let the next process that listens there have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def claim(folder: Path, host: str, port: int) -> GatewayId:
    """Return the id of the gateway that listens on ``host`` and ``port`` of this computer.

    It is made of a random seed in ``folder``, the computer's name (several may share a home), host
    and port. Containers and network namespaces may share all of these, so an id is also locked
    while it is in use, and the next in line is taken instead.

    Args:
        folder: where state is kept; made when it is missing.
        host: as configured.
        port: as configured; 0, which is another one with each start, gives a new id with each.
    """
    if port == 0:
        return _fresh()
    try:
        seed = _seed(folder / FILE)
        for twin in range(_TWINS_MAX):
            parts = (seed, socket.gethostname(), host, str(port), str(twin))
            text = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
            lock = _locked(folder / f"gateway-{text}.lock")
            if lock is not None:
                return GatewayId(text, lock)
    except OSError as error:
        _log.warning(
            "this gateway's id cannot be kept: after a restart, others take it for another one",
            folder=str(folder),
            reason=error.strerror or str(error),
        )
    return _fresh()


def _fresh() -> GatewayId:
    return GatewayId(os.urandom(8).hex())


def _seed(path: Path) -> str:
    """Read the seed, or make one where there is none, or none that can be understood."""
    data = read_state(path)
    if data is not None and not _SEED.fullmatch(data):
        aside = set_aside(path)
        _log.warning("the seed of this gateway's id was damaged: it has a new id now", old=str(aside))
        data = None
    if data is None:
        data = os.urandom(16).hex().encode() + b"\n"
        write_state(path, data)
    return data.decode().strip()


def _locked(path: Path) -> IO[bytes] | None:
    """Return the open file while nobody else holds it; the system frees it when a process ends."""
    file = path.open("ab")
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
    return file
