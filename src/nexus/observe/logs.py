"""Logging: where lines go, and one line for each request when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from nexus.domain import Outcome
from nexus.observe.events import JsonFormatter, PrettyFormatter, printable
from nexus.observe.writer import LineWriter

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_encode: Final = msgspec.json.Encoder().encode


class _WriterHandler(logging.Handler):
    """Hands formatted records to the writer that never blocks."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record).encode("utf-8", "replace") + b"\n")


def configure(writer: LineWriter, level: str, style: str, component_levels: Mapping[str, str]) -> None:
    """Send every ``nexus`` logger, and asyncio's, through one formatter.

    Args:
        writer: takes the lines.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        style: ``pretty`` for people, ``json`` for machines.
        component_levels: logger name below ``nexus`` to level.
    """
    handler = _WriterHandler(writer)
    handler.setFormatter(JsonFormatter() if style == "json" else PrettyFormatter())
    root = logging.getLogger("nexus")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(_LEVELS[level])
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.handlers[:] = [handler]
    asyncio_logger.propagate = False
    for component, component_level in component_levels.items():
        logging.getLogger(f"nexus.{component}").setLevel(_LEVELS[component_level])


class RequestLog:
    """Writes one line for each outcome, without the logging machinery: it is on the request path.

    Args:
        writer: takes the lines.
        style: ``pretty`` or ``json``.
    """

    def __init__(self, writer: LineWriter, style: str) -> None:
        self._writer = writer
        self._format: Callable[[Outcome, str], bytes] = _json_line if style == "json" else _pretty_line
        self._enabled = logging.getLogger("nexus.request").isEnabledFor(logging.INFO)
        self._second = -1
        self._moment = ""

    def observe(self, outcome: Outcome) -> None:
        """Write one line; failed attempts make it a warning."""
        if self._enabled or outcome.error or len(outcome.attempts) > 1:
            self._writer.write(self._format(outcome, self._iso(outcome.started_at + outcome.seconds)))

    def _iso(self, wall: float) -> str:
        """Format a moment (RFC 3339, milliseconds); the part down to the second is made once a second."""
        second = int(wall)
        if second != self._second:
            self._second = second
            self._moment = datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")[:19]
        return f"{self._moment}.{int((wall - second) * 1000):03d}Z"


class _Line(msgspec.Struct, omit_defaults=False):
    """The fields of a request's line, in their order."""

    timestamp: str
    level: str
    logger: str
    event: str
    id: str
    surface: str
    model: str
    served_model: str
    backend: str
    backend_type: str
    status: int
    error: str
    attempts: int
    reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    first_byte_seconds: float | None
    seconds: float
    streamed: bool
    client_closed: bool
    failures: list[dict[str, Any]]


def _json_line(outcome: Outcome, moment: str) -> bytes:
    usage, first_byte = outcome.usage, outcome.first_byte_seconds
    failures = _failures(outcome)
    line = _Line(
        moment,
        _level(outcome, failures),
        "nexus.request",
        "request",
        outcome.request_id,
        outcome.surface,
        outcome.model,
        outcome.served_model,
        outcome.backend,
        outcome.backend_type,
        outcome.status,
        outcome.error,
        len(outcome.attempts),
        outcome.route_reason,
        usage.prompt_tokens if usage is not None else None,
        usage.completion_tokens if usage is not None else None,
        first_byte if first_byte is None else round(first_byte, 6),
        round(outcome.seconds, 6),
        outcome.streamed,
        outcome.client_closed,
        failures,
    )
    return _encode(line) + b"\n"


def _pretty_line(outcome: Outcome, moment: str) -> bytes:
    failures = _failures(outcome)
    where = f"{outcome.backend or '-'} {outcome.served_model or outcome.model or '-'}"
    text = (
        f"{moment} [{_level(outcome, failures)}] {outcome.status} {outcome.surface} {where} "
        f"{outcome.seconds * 1000:.1f}ms id={outcome.request_id}"
    )
    if outcome.streamed:
        text += " stream"
    if outcome.error:
        text += f" error={outcome.error}"
    for failure in failures:
        text += f" | {failure['backend']}: {failure['cause']} {failure['message']}".rstrip()
    return printable(text).encode("utf-8", "replace") + b"\n"


def _failures(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "backend": attempt.backend,
            "cause": str(attempt.failure),
            "status": attempt.status,
            "message": attempt.message,
        }
        for attempt in outcome.attempts
        if attempt.failure is not None
    ]


def _level(outcome: Outcome, failures: list[dict[str, Any]]) -> str:
    return "warning" if outcome.status >= 500 or (failures and not outcome.client_closed) else "info"
