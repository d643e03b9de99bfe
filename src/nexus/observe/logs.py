"""Logging: structlog for what happens to Nexus, one line for each request when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from nexus.domain import Outcome
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
    """Send every ``nexus`` logger, structlog's and the standard library's, through one formatter.

    Args:
        writer: takes the lines.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        style: ``pretty`` for people, ``json`` for machines.
        component_levels: logger name below ``nexus`` to level.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_json)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
        foreign_pre_chain=shared,
    )
    handler = _WriterHandler(writer)
    handler.setFormatter(formatter)
    root = logging.getLogger("nexus")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(_LEVELS[level])
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.handlers[:] = [handler]
    asyncio_logger.propagate = False
    for component, component_level in component_levels.items():
        logging.getLogger(f"nexus.{component}").setLevel(_LEVELS[component_level])
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class RequestLog:
    """Writes one line for each outcome, without the logging machinery: it is on the request path.

    Args:
        writer: takes the lines.
        style: ``pretty`` or ``json``.
    """

    def __init__(self, writer: LineWriter, style: str) -> None:
        self._writer = writer
        self._format: Callable[[Outcome], bytes] = _json_line if style == "json" else _pretty_line
        self._enabled = logging.getLogger("nexus.request").isEnabledFor(logging.INFO)

    def observe(self, outcome: Outcome) -> None:
        """Write one line; failed attempts make it a warning."""
        if self._enabled or outcome.error or len(outcome.attempts) > 1:
            self._writer.write(self._format(outcome))


def _json_line(outcome: Outcome) -> bytes:
    usage = outcome.usage
    line: dict[str, Any] = {
        "timestamp": _iso(outcome.started_at + outcome.seconds),
        "level": _level(outcome),
        "logger": "nexus.request",
        "event": "request",
        "id": outcome.request_id,
        "surface": outcome.surface,
        "model": outcome.model,
        "served_model": outcome.served_model,
        "backend": outcome.backend,
        "backend_type": outcome.backend_type,
        "status": outcome.status,
        "error": outcome.error,
        "attempts": len(outcome.attempts),
        "reason": outcome.route_reason,
        "prompt_tokens": usage.prompt_tokens if usage is not None else None,
        "completion_tokens": usage.completion_tokens if usage is not None else None,
        "first_byte_seconds": _round(outcome.first_byte_seconds),
        "seconds": _round(outcome.seconds),
        "streamed": outcome.streamed,
        "client_closed": outcome.client_closed,
    }
    failures = _failures(outcome)
    if failures:
        line["failures"] = failures
    return _encode(line) + b"\n"


def _pretty_line(outcome: Outcome) -> bytes:
    where = f"{outcome.backend or '-'} {outcome.served_model or outcome.model or '-'}"
    text = (
        f"{_iso(outcome.started_at + outcome.seconds)} [{_level(outcome)}] {outcome.status} {outcome.surface} "
        f"{where} {outcome.seconds * 1000:.1f}ms id={outcome.request_id}"
    )
    if outcome.streamed:
        text += " stream"
    if outcome.error:
        text += f" error={outcome.error}"
    for failure in _failures(outcome):
        text += f" | {failure['backend']}: {failure['cause']} {failure['message']}".rstrip()
    return _printable(text).encode("utf-8", "replace") + b"\n"


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


def _level(outcome: Outcome) -> str:
    failed = any(attempt.failure is not None for attempt in outcome.attempts)
    return "warning" if outcome.status >= 500 or (failed and not outcome.client_closed) else "info"


def _printable(text: str) -> str:
    """Client-made text must not forge lines or move the terminal's cursor."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _json(value: object, **_: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
