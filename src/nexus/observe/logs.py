"""Logging: where lines go, and what is caught on its way to stderr."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from functools import partial
from typing import Final

from nexus.observe.events import FIELDS, EventLog
from nexus.observe.mask import Mask
from nexus.observe.writer import DROPPED, LineWriter

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_log: Final = EventLog("server")


class _WriterHandler(logging.Handler):
    """Hands formatted records to the writer that never blocks."""

    def __init__(self, writer: LineWriter, formatter: logging.Formatter) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  # whoever logs must not fail, nor stderr be written past us
            if record.msg is _UNWRITABLE:
                return
            _log.warning(_UNWRITABLE, by=record.name, cause=type(error).__name__)
            return
        self._writer.write(line.encode("utf-8", "replace") + b"\n")


_UNWRITABLE: Final = "a log line could not be written"


def configure(
    writer: LineWriter, level: str, style: str, component_levels: Mapping[str, str], mask: Mask | None = None
) -> None:
    """Send every ``nexus`` logger, and whatever other packages log, through one formatter.

    Args:
        writer: takes the lines.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        style: ``pretty`` for people, ``json`` for machines.
        component_levels: logger name below ``nexus`` to level.
        mask: takes keys out of them.
    """
    from nexus.observe.lines import formatter  # noqa: PLC0415  # brings structlog

    lines = formatter(style, mask or Mask())
    handler = _WriterHandler(writer, lines)
    writer.notice = partial(_dropped, lines)
    nexus = logging.getLogger("nexus")
    nexus.handlers[:] = [handler]
    nexus.propagate = False
    nexus.setLevel(_LEVELS[level])
    # The others' would else go to stderr by themselves, which may block, and past the mask.
    others = logging.getLogger()
    others.handlers[:] = [old for old in others.handlers if not isinstance(old, _WriterHandler)] + [handler]
    for name, logger in list(logging.root.manager.loggerDict.items()):
        # What an earlier configuration said of a component is no longer so.
        if name.startswith("nexus.") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)
    for component, component_level in component_levels.items():
        logging.getLogger(f"nexus.{component}").setLevel(_LEVELS[component_level])


def _dropped(lines: logging.Formatter, lost: int) -> bytes:
    """Make the line that says how many are missing; the writer itself writes it, so that it is not lost."""
    record = logging.makeLogRecord({"name": "nexus.server", "msg": DROPPED, FIELDS: {"count": lost}})
    record.levelno, record.levelname = logging.WARNING, "WARNING"
    return lines.format(record).encode() + b"\n"


def catch_strays() -> None:
    """Log, too, what Python itself would write to stderr: warnings, and what threads and finalizers raise."""
    logging.captureWarnings(capture=True)

    def thread_failed(args: threading.ExceptHookArgs) -> None:
        if isinstance(args.exc_value, Exception):
            _log.error("a thread ended by a defect", args.exc_value, thread=getattr(args.thread, "name", ""))

    def finalizer_failed(args: sys.UnraisableHookArgs) -> None:
        if isinstance(args.exc_value, Exception):
            _log.error("an object could not be cleaned up", args.exc_value)

    threading.excepthook = thread_failed
    sys.unraisablehook = finalizer_failed
