"""What happens to Nexus itself, as events with fields: ``backend is healthy  backend=gpu models=3``.

Law: one format for these and for what the standard library logs, with nothing but the standard
library's logging, because a gateway that starts in half a second must not import a terminal
library to write a line.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

_FIELDS = "nexus_fields"


class EventLog:
    """The events of one component.

    Args:
        component: such as ``health``; the logger is ``nexus.health``.
    """

    __slots__ = ("_logger",)

    def __init__(self, component: str) -> None:
        self._logger = logging.getLogger(f"nexus.{component}")

    def info(self, event: str, /, **fields: object) -> None:
        """Log what is worth knowing; ``fields`` are JSON-able or have a text."""
        self._logger.info(event, extra={_FIELDS: fields})

    def warning(self, event: str, /, **fields: object) -> None:
        """Log what an operator should look at."""
        self._logger.warning(event, extra={_FIELDS: fields})

    def error(self, event: str, error: Exception, /, **fields: object) -> None:
        """Log a defect of Nexus with its traceback."""
        self._logger.error(event, exc_info=error, extra={_FIELDS: fields})


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a field never hides who said what when."""
        line: dict[str, Any] = {
            **_fields(record),
            "timestamp": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class PrettyFormatter(logging.Formatter):
    """One line for people; only a traceback takes more."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in which a backend's words can neither forge a line nor move the cursor."""
        words = [_moment(record), f"[{record.levelname.lower()}]", printable(record.getMessage())]
        words += [f"{name}={_shown(value)}" for name, value in _fields(record).items()]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each one that is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return fields


def _shown(value: object) -> str:
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if text.isprintable() and text and " " not in text else repr(text)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
