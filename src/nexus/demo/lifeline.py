"""How a child notices that its parent is gone, even by ``kill -9``.

The parent holds the write end of the child's standard input and never writes after the start. The
kernel closes it with the parent, whatever ended that, and the child reads the end of file.
"""

from __future__ import annotations

import os
import sys
import threading


def end_with_parent() -> None:
    """End this process at once when standard input reaches its end."""
    descriptor = sys.stdin.fileno()
    threading.Thread(target=_watch, args=(descriptor,), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    # `os.read` and not `sys.stdin`: a buffered reader's lock would make the interpreter's own exit fail.
    while os.read(descriptor, 4096):
        pass
    os._exit(0)
