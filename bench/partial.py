"""Run Nexus with only some of those who consume outcomes: ``python -m bench.partial NAMES serve -c FILE``.

``NAMES`` are of ``metrics``, ``log``, ``history`` and ``traffic``, separated by commas, or ``none``: what
each of them costs shows only beside a gateway that lacks it.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from typing import Any, Final

from nexus.observe.hub import OutcomeHub
from nexus.server import observed

_CONSUMERS: Final = {
    "metrics": "RequestMetrics",
    "log": "RequestLog",
    "history": "RequestHistory",
    "traffic": "Traffic",
}


def _hub(kept: set[str]) -> Callable[..., OutcomeHub[Any]]:
    def make(
        soon: Callable[..., object], remember: Callable[..., None], *listeners: Callable[..., None]
    ) -> OutcomeHub[Any]:
        wanted = [each for each in listeners if _name(each) in kept]
        return OutcomeHub(soon, remember if _name(remember) in kept else _forget, *wanted)

    return make


def _name(method: Any) -> str:  # noqa: ANN401  any bound method
    return type(method.__self__).__name__


def _forget(*_: object) -> None:
    pass


def main(names: str, arguments: list[str]) -> None:
    """Run Nexus with ``arguments`` and the consumers of these ``names``."""
    kept = {_CONSUMERS[name] for name in names.split(",") if name != "none"}
    setattr(observed, "OutcomeHub", _hub(kept))  # noqa: B010  # the type of a class is not that of what makes one
    sys.argv = ["nexus", *arguments]
    runpy.run_module("nexus", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
