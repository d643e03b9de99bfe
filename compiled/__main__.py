"""``python -m compiled``: say in one line what a compiled build needs and this machine lacks."""

from __future__ import annotations

import sys

from compiled.build import what_is_missing


def main() -> int:
    """Return 0 when all is there."""
    missing = what_is_missing()
    if missing is not None:
        print(missing, file=sys.stderr)
    return 0 if missing is None else 1


if __name__ == "__main__":
    sys.exit(main())
