"""One line for each request when it ends.

Law: it is on the request path, so it is made without the logging machinery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from nexus.domain import FailureKind, Outcome
from nexus.observe.mask import Mask
from nexus.observe.request_line import Failures, RequestLine
from nexus.observe.text import encode, escaped, printable
from nexus.observe.writer import LineWriter

_encode_lines: Final = msgspec.json.Encoder().encode_lines
_NO_FAILURES: Final[Failures] = ()
# As a number: a search for bytes costs 15 times as much.
_DELETE: Final = 0x7F
_LONGEST_NAME: Final = 500
# No failure, or the client's doing.
_LEFT: Final = frozenset({None, FailureKind.CLIENT_CLOSED, FailureKind.CLIENT_STALLED})


class RequestLog:
    """Writes one line for each outcome.

    Args:
        writer: takes the lines.
        style: ``pretty`` or ``json``.
        mask: takes configured keys out of what is not a good request's.
    """

    def __init__(self, writer: LineWriter, style: str, mask: Mask | None = None) -> None:
        self._writer = writer
        self._mask = mask or Mask()
        self.restyle(style)
        self._second = -1.0
        self._date = ""
        # To format three digits costs as much as all else about a moment together.
        self._milliseconds = tuple(f".{number:03d}Z" for number in range(1000))

    def restyle(self, style: str) -> None:
        """Write ``pretty`` or ``json`` from now on, and as much as the loggers' levels now ask for."""
        logger = logging.getLogger("nexus.request")
        self._format: Callable[[Outcome, str, str, str, Failures], bytes]
        self._format = _json_line if style == "json" else _pretty_line
        self._infos = logger.isEnabledFor(logging.INFO)
        self._warnings = logger.isEnabledFor(logging.WARNING)

    def observe(self, outcome: Outcome) -> None:
        """Write one line; failed attempts make it a warning. Its moment is RFC 3339 in milliseconds."""
        attempts = outcome.attempts
        plain = len(attempts) == 1 and attempts[0].failure is None and outcome.status < 500
        level = "info" if plain else _level(outcome)
        if not (self._infos or (self._warnings and level == "warning")):
            return
        wall = outcome.started_at + outcome.seconds
        since = wall - self._second
        if not 0.0 <= since < 1.0:
            second = int(wall)
            self._date = datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")[:19]
            self._second = float(second)
            since = wall - second
        moment = self._date + self._milliseconds[int(since * 1000.0)]
        model = outcome.model
        if len(model) > _LONGEST_NAME:
            model = cut_name(model)
        if plain:
            self._writer.write(self._format(outcome, model, moment, level, _NO_FAILURES))
        else:
            # What nobody serves may be a key that was put in the wrong place.
            model, failures = self._mask.configured(model), self._failures(outcome)
            self._writer.write(self._format(outcome, model, moment, level, failures))

    def _failures(self, outcome: Outcome) -> Failures:
        return [
            {
                "backend": attempt.backend,
                "cause": str(attempt.failure),
                "status": attempt.status,
                "message": self._mask.configured(attempt.message),
            }
            for attempt in outcome.attempts
            if attempt.failure is not None
        ]


def estimated_tokens(outcome: Outcome) -> int | None:
    """Return about how many tokens came, where the backend did not say: the events with content."""
    usage = outcome.usage
    if outcome.delta_events and (usage is None or usage.completion_tokens is None):
        return outcome.delta_events
    return None


def _json_line(outcome: Outcome, model: str, moment: str, level: str, failures: Failures) -> bytes:
    usage, first_byte, reason = outcome.usage, outcome.first_byte_seconds, outcome.route_reason
    overhead = outcome.overhead_seconds
    line = RequestLine(
        moment,
        level,
        "nexus.request",
        "request",
        outcome.request_id,
        outcome.surface,
        model,
        outcome.served_model,
        outcome.backend,
        # As plain text: of an enumeration's member the encoder asks the value, at three times the price.
        str(outcome.backend_type),
        outcome.status,
        outcome.error,
        len(outcome.attempts),
        None if reason is None else str(reason),
        usage.prompt_tokens if usage is not None else None,
        usage.completion_tokens if usage is not None else None,
        None if not outcome.delta_events else estimated_tokens(outcome),
        # To the microsecond: ``round`` reads and writes decimals, at four times the price.
        None if first_byte is None else (first_byte * 1e6 + 0.5) // 1.0 / 1e6,
        (outcome.seconds * 1e6 + 0.5) // 1.0 / 1e6,
        None if overhead is None else (overhead * 1e6 + 0.5) // 1.0 / 1e6,
        outcome.streamed,
        outcome.client_closed,
        failures,
    )
    try:
        # As many lines as there are: for several the encoder takes room at once, for one it grows by bits.
        # In a list: msgspec 0.22 never frees a tuple that it was given here.
        encoded = _encode_lines([line])
    except UnicodeEncodeError:
        return encode(line) + b"\n"
    if encoded.isascii() and _DELETE not in encoded:
        return encoded
    return escaped(encoded[:-1]) + b"\n"


def _pretty_line(outcome: Outcome, model: str, moment: str, level: str, failures: Failures) -> bytes:
    where = f"{outcome.backend or '-'} {outcome.served_model or model or '-'}"
    text = (
        f"{moment} [{level}] {outcome.status} {outcome.surface} {where} "
        f"{outcome.seconds * 1000:.1f}ms id={outcome.request_id}{_tokens(outcome)}"
    )
    if outcome.streamed:
        text += " stream"
    if outcome.client_closed:
        text += " client-gone"
    if outcome.model != outcome.served_model and outcome.served_model:
        text += f" asked={model}"
    if outcome.error:
        text += f" error={outcome.error}"
    for failure in failures:
        text += f" | {failure['backend']}: {failure['cause']} {failure['message']}".rstrip()
    return printable(text).encode("utf-8", "replace") + b"\n"


def cut_name(name: str) -> str:
    """Return a name that a client chose, of any length, so short that it floods no log."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "\N{HORIZONTAL ELLIPSIS}"


def _tokens(outcome: Outcome) -> str:
    usage, estimate = outcome.usage, estimated_tokens(outcome)
    counts = [] if usage is None else [usage.prompt_tokens, usage.completion_tokens]
    known = "+".join([str(count) for count in counts if count is not None])
    if estimate is not None:
        known += f"+~{estimate}" if known else f"~{estimate}"
    return f" tokens={known}" if known else ""


def _level(outcome: Outcome) -> str:
    failed = {attempt.failure for attempt in outcome.attempts} - _LEFT
    return "warning" if failed or outcome.status >= 500 else "info"
