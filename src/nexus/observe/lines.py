"""How a record of the standard library's logging becomes a line: structlog's processors."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from structlog.processors import format_exc_info
from structlog.stdlib import ProcessorFormatter

from nexus.observe.events import FIELDS
from nexus.observe.mask import Mask
from nexus.observe.text import encode, indented, printable, quoted

_Event = MutableMapping[str, Any]


def formatter(style: str, mask: Mask) -> logging.Formatter:
    """Return what makes the lines.

    Args:
        style: ``pretty`` for people, ``json`` for machines.
        mask: takes keys out.
    """

    def masked(_logger: object, _method: str, event: _Event) -> _Event:
        return {name: mask.value(value) for name, value in event.items()}

    return ProcessorFormatter(
        foreign_pre_chain=[_described],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            format_exc_info,
            masked,
            _json if style == "json" else _pretty,
        ],
    )


def moment(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 in milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _described(_logger: object, _method: str, event: _Event) -> _Event:
    """Add an event's fields and who said it when: no field hides that."""
    record: logging.LogRecord = event["_record"]
    return {
        **getattr(record, FIELDS, {}),
        "timestamp": moment(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        **event,
    }


def _json(_logger: object, _method: str, event: _Event) -> str:
    return encode(event).decode()


def _pretty(_logger: object, _method: str, event: _Event) -> str:
    """Write one line for people; of a traceback the further lines are marked as such."""
    stamp, level, text = event.pop("timestamp"), event.pop("level"), event.pop("event")
    event.pop("logger")
    traceback = event.pop("exception", None)
    words = [stamp, f"[{level}]", printable(text), *(f"{quoted(n)}={_shown(v)}" for n, v in event.items())]
    line = " ".join(words)
    return f"{line}\n{indented(traceback)}" if traceback else line


def _shown(value: object) -> str:
    return quoted("; ".join(map(str, value)) if isinstance(value, list) else str(value))
