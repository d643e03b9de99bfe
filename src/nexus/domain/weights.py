"""How much each part of the ``smart`` score counts."""

from __future__ import annotations

import msgspec


class Weights(msgspec.Struct, frozen=True):
    """Shares of the ``smart`` score; they sum to 100."""

    priority: int = 50
    load: int = 30
    latency: int = 20
