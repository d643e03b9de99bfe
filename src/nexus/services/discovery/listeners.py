"""Who listens on this computer, as far as the system tells: enough to see that it changed.

A port that closes and opens again between two looks never seems closed; the listening socket's
number tells that it is another server. Linux only; elsewhere nothing is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FILES: Final = ("proc/net/tcp", "proc/net/tcp6")
_LISTEN: Final = "0A"
_MOST_LINES: Final = 10_000


def listening_sockets(root: Path = Path("/")) -> dict[int, frozenset[str]]:
    """Return the numbers (inodes) of the listening sockets of each port (proc(5), net/tcp).

    Args:
        root: where the file system begins.
    """
    found: dict[int, set[str]] = {}
    for name in _FILES:
        for port, number in _read(root / name):
            found.setdefault(port, set()).add(number)
    return {port: frozenset(numbers) for port, numbers in found.items()}


def _read(path: Path) -> list[tuple[int, str]]:
    rows: list[tuple[int, str]] = []
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            next(lines, None)
            for _, line in zip(range(_MOST_LINES), lines, strict=False):
                fields = line.split()
                # Listening sockets come first; the connections after them may be many thousands.
                if len(fields) < 10 or fields[3] != _LISTEN:
                    break
                rows.append((int(fields[1].rpartition(":")[2], 16), fields[9]))
    except (OSError, ValueError):
        # Not Linux, not for us, or not as documented: the other looks do without.
        return rows
    return rows
