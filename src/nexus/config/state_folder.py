"""Where Nexus keeps what must survive a restart, and how a file there is written.

Laws held here: a file is either the old one or the new one, never half of each; only its owner
reads it; one that cannot be understood is set aside, never overwritten.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from platformdirs import user_state_path

STATE_DIR: Final = "NEXUS_STATE_DIR"
"""The environment variable that names another folder."""

MAX_BYTES: Final = 1024 * 1024
_ASIDE_MAX: Final = 1000


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder, which need not exist: ``NEXUS_STATE_DIR``, else the user's own.

    Args:
        environ: the environment; an empty variable counts as unset.
    """
    named = environ.get(STATE_DIR, "").strip()
    return Path(named).absolute() if named else user_state_path("nexus", appauthor=False)


def read_state(path: Path) -> bytes | None:
    """Return a file's bytes, or ``None`` when there is none.

    Raises:
        OSError: it cannot be read, is no regular file or holds more than 1 MB.
    """
    try:
        # A pipe in the file's place would block the opening of it for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"it holds more than {MAX_BYTES} bytes")
    return data


def write_state(path: Path, data: bytes) -> None:
    """Replace a file as a whole, for its owner's eyes only; it is on the disk when this returns.

    Args:
        path: its folder is made when it is missing.
        data: all of it.

    Raises:
        OSError: it cannot be written; the old file stands.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp gives mode 0600 from the first moment.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be understood to the first free ``.corrupt-<n>``; return where it is now.

    Raises:
        OSError: it cannot be renamed, or a thousand others lie there already.
    """
    for number in range(1, _ASIDE_MAX):
        aside = path.with_name(f"{path.name}.corrupt-{number}")
        if not aside.exists():
            return path.rename(aside)
    raise OSError(f"{_ASIDE_MAX - 1} files lie beside it that could not be understood either")


def _sync_folder(folder: Path) -> None:
    """Make the new name last, too; not every file system lets a folder be opened for that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
