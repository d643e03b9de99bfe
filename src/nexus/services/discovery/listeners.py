"""Who listens on this computer, as far as the system tells: enough to see that it changed.

A port that closes and opens again between two looks never seems closed; the listening socket's
number tells that it is another server. Linux only; elsewhere nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from nexus.services.discovery.socket_diag import MOST_SOCKETS, ask_kernel

_FILES: Final = ("proc/net/tcp", "proc/net/tcp6")
_LISTEN: Final = "0A"


def listening_sockets(
    ask: Callable[[], Iterable[tuple[int, str]]] = ask_kernel, root: Path = Path("/")
) -> dict[int, frozenset[str]] | None:
    """Return the numbers (inodes) of the listening sockets of each port; ``None`` where nobody tells.

    Args:
        ask: tells at little cost, or raises OSError or ValueError; the files are read then, as
            in sandboxes without sock_diag(7) (proc(5), net/tcp).
        root: where the file system begins.
    """
    try:
        return _by_port(ask())
    except (OSError, ValueError):
        # Not Linux, or not for us: the files say the same, if there are any.
        parts = [_read(root / name) for name in _FILES]
    told = [part for part in parts if part is not None]
    return _by_port(row for part in told for row in part) if told else None


def _by_port(rows: Iterable[tuple[int, str]]) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    for port, number in rows:
        found.setdefault(port, set()).add(number)
    return {port: frozenset(numbers) for port, numbers in found.items()}


def _read(path: Path) -> list[tuple[int, str]] | None:
    rows: list[tuple[int, str]] = []
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            next(lines, None)
            for _, line in zip(range(MOST_SOCKETS), lines, strict=False):
                fields = line.split()
                # Listening sockets come first; the connections after them may be many thousands.
                if len(fields) < 10 or fields[3] != _LISTEN:
                    break
                rows.append((int(fields[1].rpartition(":")[2], 16), fields[9]))
    except OSError:
        return None
    except ValueError:
        # Not as documented: the other looks do without.
        return rows
    return rows
