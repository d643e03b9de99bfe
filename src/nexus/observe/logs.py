"""Logging: where lines go, and one line for each request when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
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
_encode_lines: Final = msgspec.json.Encoder().encode_lines
_Failures = Sequence[dict[str, Any]]
_NO_FAILURES: Final[_Failures] = ()


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
    for name, logger in list(logging.root.manager.loggerDict.items()):
        # What an earlier configuration said of a component is no longer so.
        if name.startswith("nexus.") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)
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
        self.restyle(style)
        self._second = -1.0
        self._date = ""
        # To format three digits costs as much as all else about a moment together.
        self._milliseconds = tuple(f".{number:03d}Z" for number in range(1000))

    def restyle(self, style: str) -> None:
        """Write ``pretty`` or ``json`` from now on, and as much as the loggers' levels now ask for."""
        self._format: Callable[[Outcome, str], bytes] = _json_line if style == "json" else _pretty_line
        self._enabled = logging.getLogger("nexus.request").isEnabledFor(logging.INFO)

    def observe(self, outcome: Outcome) -> None:
        """Write one line; failed attempts make it a warning. Its moment is RFC 3339 in milliseconds."""
        if self._enabled or outcome.error or len(outcome.attempts) > 1:
            wall = outcome.started_at + outcome.seconds
            since = wall - self._second
            if not 0.0 <= since < 1.0:
                second = int(wall)
                self._date = datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")[:19]
                self._second = float(second)
                since = wall - second
            moment = self._date + self._milliseconds[int(since * 1000.0)]
            self._writer.write(self._format(outcome, moment))


class _Line(msgspec.Struct, gc=False):
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
    failures: _Failures


def _json_line(outcome: Outcome, moment: str) -> bytes:
    usage, first_byte, reason = outcome.usage, outcome.first_byte_seconds, outcome.route_reason
    attempts = outcome.attempts
    plain = len(attempts) == 1 and attempts[0].failure is None
    failures = _NO_FAILURES if plain else _failures(outcome)
    line = _Line(
        moment,
        "info" if plain and outcome.status < 500 else _level(outcome, failures),
        "nexus.request",
        "request",
        outcome.request_id,
        outcome.surface,
        outcome.model,
        outcome.served_model,
        outcome.backend,
        # As plain text: of an enumeration's member the encoder asks the value, at three times the price.
        str(outcome.backend_type),
        outcome.status,
        outcome.error,
        len(attempts),
        None if reason is None else str(reason),
        usage.prompt_tokens if usage is not None else None,
        usage.completion_tokens if usage is not None else None,
        # To the microsecond: ``round`` reads and writes decimals, at four times the price.
        None if first_byte is None else (first_byte * 1e6 + 0.5) // 1.0 / 1e6,
        (outcome.seconds * 1e6 + 0.5) // 1.0 / 1e6,
        outcome.streamed,
        outcome.client_closed,
        failures,
    )
    # As many lines as there are: for several the encoder takes room at once, for one it grows by bits.
    return _encode_lines((line,))


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


def _failures(outcome: Outcome) -> _Failures:
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


def _level(outcome: Outcome, failures: _Failures) -> str:
    return "warning" if outcome.status >= 500 or (failures and not outcome.client_closed) else "info"
