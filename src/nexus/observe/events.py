"""What happens to Nexus itself, as events with fields: ``backend is healthy  backend=gpu models=3``.

structlog takes them and hands them to the standard library's loggers, so that whoever embeds Nexus or
tests it sees ordinary records. It is imported with the first line only: commands that log nothing do
not pay for it.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

FIELDS: Final = "nexus_fields"
"""Attribute of a record that holds its event's fields."""


class EventLog:
    """The events of one component.

    Args:
        component: such as ``health``; the logger is ``nexus.health``.
    """

    __slots__ = ("_bound", "_logger")

    def __init__(self, component: str) -> None:
        self._logger = logging.getLogger(f"nexus.{component}")
        self._bound: BoundLogger | None = None

    def info(self, event: str, /, **fields: object) -> None:
        """Log what is worth knowing; ``fields`` are JSON-able or have a text."""
        if self._logger.isEnabledFor(logging.INFO):
            self._structured().bind(**fields).info(event)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log what an operator should look at."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._structured().bind(**fields).warning(event)

    def error(self, event: str, error: Exception, /, **fields: object) -> None:
        """Log a defect of Nexus with its traceback."""
        self._structured().bind(**fields).error(event, exc_info=error)

    def _structured(self) -> BoundLogger:
        if self._bound is None:
            from structlog.stdlib import BoundLogger  # noqa: PLC0415  # see above

            self._bound = BoundLogger(self._logger, [_to_record], {})
        return self._bound


def _to_record(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Make the arguments of the standard library's logger (a structlog processor)."""
    text, error = event.pop("event"), event.pop("exc_info", None)
    return (text,), {"exc_info": error, "extra": {FIELDS: dict(event)}}
