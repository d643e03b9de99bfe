from __future__ import annotations

from tests.support.fixtures import fleet, start

__all__ = ["fleet", "start"]
