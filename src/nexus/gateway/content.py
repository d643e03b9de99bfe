"""What was asked and answered, in words, for an operator who has asked to read along.

Law: none of this exists while ``enable_content_logging`` is off; switched on, it keeps what it
shows until the request ends, and no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nexus.backends.base import Adapter
from nexus.domain import Outcome
from nexus.gateway.exchange import Exchange
from nexus.gateway.relay import Relay
from nexus.observe.events import EventLog
from nexus.protocol.words import answered, asked, streamed
from nexus.registry.lease import Lease


class Said:
    """The beginning of one reply.

    Args:
        most_bytes: of its words.
    """

    __slots__ = ("_most", "_raw", "_words")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._words = ""
        self._raw = b""

    def events(self, data: bytes) -> None:
        """Take whole events of a stream."""
        if len(self._words) <= self._most:
            self._words += streamed(data)

    def piece(self, data: bytes) -> None:
        """Take a piece of a body that is not complete yet."""
        if len(self._raw) <= self._most:
            self._raw += data

    def whole(self, body: bytes) -> None:
        """Take a complete body."""
        self._raw = body

    def words(self) -> str:
        """Return what was said so far."""
        return self._words or (answered(self._raw) if self._raw else "")


class RecordingRelay(Relay):
    """A relay that keeps the words that it relays."""

    __slots__ = ("_said",)

    def __init__(
        self,
        most_bytes: int,
        exchange: Exchange,
        lease: Lease,
        adapter: Adapter,
        now: Callable[[], float],
        lines: bytes,
        body: bytes,
    ) -> None:
        super().__init__(exchange, lease, adapter, now, lines, body)
        self._said = exchange.said = Said(most_bytes)

    def _write(self, data: bytes) -> None:
        super()._write(data)
        (self._said.events if self._scanner is not None else self._said.piece)(data)

    def _complete_body(self, body: bytes) -> None:
        super()._complete_body(body)
        if self.committed:
            self._said.whole(body)


class ContentLog:
    """Writes the words of each request that has ended to ``nexus.content``.

    Args:
        most_bytes: of either side's words; what is longer is cut.
    """

    __slots__ = ("_log", "_most", "relay")

    def __init__(self, most_bytes: int) -> None:
        self._log = EventLog("content")
        self._most = most_bytes
        self.relay: Callable[..., Relay] = partial(RecordingRelay, most_bytes)

    def observe(self, outcome: Outcome, exchange: Exchange) -> None:
        """Write one line."""
        body, said = exchange.request.body, exchange.said
        self._log.info(
            "content",
            id=outcome.request_id,
            model=outcome.model,
            request=self._cut(asked(body)),
            reply=self._cut(said.words() if isinstance(said, Said) else ""),
            request_bytes=len(body),
            reply_bytes=outcome.bytes_out,
        )

    def _cut(self, text: str) -> str:
        data = text.encode("utf-8", "replace")
        if len(data) <= self._most:
            return text
        return data[: self._most].decode("utf-8", "ignore") + "\N{HORIZONTAL ELLIPSIS}"
