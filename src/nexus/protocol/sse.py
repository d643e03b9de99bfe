"""An incremental scanner of server-sent events that never rebuilds what it reads.

The wire is the HTML standard's event stream
(https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end in LF, CR or CRLF, a
blank line ends an event, a colon begins a comment.

Law: a stream leaves in whole events, byte for byte, so that an error event can follow it.
"""

from __future__ import annotations

from typing import Final

from nexus.domain import Usage
from nexus.protocol.stream_events import CONTENT, JUDGES, NOTHING
from nexus.protocol.surfaces import StreamEnd
from nexus.protocol.usage import merge_usage

HELD_BYTES: Final = 65_536
"""An event may wait this long for its end; a longer one leaves in pieces."""
JUDGED_BYTES: Final = 1_048_576
"""Of an event that leaves in pieces a copy up to this long is kept, to judge it at its end."""

_BOM: Final = b"\xef\xbb\xbf"
_DONE: Final = b"[DONE]"


class SseScanner:
    """Finds whole events in a stream split at any point, and what they say.

    Attributes:
        finished: the end rule is satisfied.
        done: ``[DONE]`` was seen.
        error_first: the payload of the first data event, when that is an error.
        error_seen: some event is an error.
        events: data events so far; comments are not counted.
        deltas: events that carried content.
        usage: the newest token counts, or ``None``.
        commented_only: nothing but comments and blank lines so far.
        split: what has left ends inside an event that was too long to hold.
    """

    __slots__ = (
        "_begun",
        "_copied",
        "_copy",
        "_error_ends",
        "_held",
        "_judge",
        "_last",
        "commented_only",
        "deltas",
        "done",
        "error_first",
        "error_seen",
        "events",
        "finished",
        "split",
        "usage",
    )

    def __init__(self, end: StreamEnd) -> None:
        self._judge = JUDGES[end]
        self._held = b""
        self._begun = False
        self._copy: list[bytes] = []
        self._copied = 0
        self._last = b""
        self._error_ends = end in (StreamEnd.RESPONSES, StreamEnd.MESSAGES)
        self.finished = end is StreamEnd.NONE
        self.done = False
        self.error_first: bytes | None = None
        self.error_seen = False
        self.events = 0
        self.deltas = 0
        self.usage: Usage | None = None
        self.commented_only = True
        self.split = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return those that may leave: whole events, or nothing yet.

        What all calls and :meth:`flush` return is together exactly what was fed.
        """
        if not self._held and not self.split and data.endswith(b"\n\n"):
            if data.startswith(b"data: ") and data.find(b"\n") == len(data) - 2 and b"\r" not in data:
                self._event(data[6:-2], b"")
            else:
                self._scan(data)
            return data
        if self.split:
            return self._feed_split(data)
        held = self._held
        text = held + data if held else data
        cut = _last_boundary(text, len(held) - 1 if held else 0)
        if cut:
            self._scan(text[:cut])
        self._held = text[cut:]
        if len(self._held) > HELD_BYTES:
            self._let_go()
            return text
        return text[:cut]

    def flush(self) -> bytes:
        """End the stream and return the held tail.

        The tail is judged like an event: servers exist whose last line lacks its blank line.
        """
        tail, self._held = self._held, b""
        if self.split:
            self._judge_copy()
        elif tail:
            self._scan(tail)
        return tail

    def _let_go(self) -> None:
        self.split = True
        self.commented_only = False
        self._last = self._held[-1:]
        self._copy = [self._held]
        self._copied = len(self._held)
        self._held = b""

    def _feed_split(self, data: bytes) -> bytes:
        """Let the rest of a long event go; what follows its end are whole events again."""
        if not data:
            return data
        before = self._last
        end = _first_boundary(before + data) - len(before)
        piece = data if end < 0 else data[:end]
        self._last = piece[-1:]
        self._copied += len(piece)
        if self._copied <= JUDGED_BYTES:
            self._copy.append(piece)
        if end < 0:
            return data
        self._judge_copy()
        return piece + self.feed(data[end:])

    def _judge_copy(self) -> None:
        event = b"".join(self._copy)
        self._copy = []
        self.split = False
        if self._copied <= JUDGED_BYTES:
            self._scan(event)
            return
        name = _fields(event[:1024].replace(b"\r", b"\n"))[1]
        self._event(b'{"type":"%b"}' % name, name)

    def _scan(self, block: bytes) -> None:
        """Judge the events of a block."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._begun:
            self._begun = True
            block = block.removeprefix(_BOM)
        for part in block.split(b"\n\n"):
            if part.startswith(b"data: ") and b"\n" not in part:
                self._event(part[6:], b"")
            elif part:
                payload, name, commented = _fields(part)
                if not commented:
                    self.commented_only = False
                if payload is not None:
                    self._event(payload, name)

    def _event(self, payload: bytes, name: bytes) -> None:
        self.events += 1
        self.commented_only = False
        self._begun = True
        if len(payload) < 16 and payload.strip() == _DONE:
            self.done = self.finished = True
            return
        finding = self._judge(payload)
        if finding.delta:
            self.deltas += 1
        if (finding is CONTENT or finding is NOTHING) and name != b"error":
            return
        if finding.usage is not None:
            self.usage = merge_usage(self.usage, finding.usage)
        if finding.finished:
            self.finished = True
        if finding.error or name == b"error":
            self.error_seen = True
            self.finished = self.finished or self._error_ends
            if self.events == 1:
                self.error_first = payload


def _fields(part: bytes) -> tuple[bytes | None, bytes, bool]:
    """Return an event's data, its name, and whether it is nothing but comments."""
    data = None
    name = b""
    commented = True
    for line in part.split(b"\n"):
        if not line or line.startswith(b":"):
            continue
        commented = False
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data = value if data is None else data + b"\n" + value
        elif field == b"event":
            name = value
    return data, name, commented


def _last_boundary(text: bytes, start: int) -> int:
    """Return where the last event ends that a blank line ends, 0 when none does.

    A blank line is two line ends in a row. A CR counts at once; when it was half of a CRLF, the LF
    that comes later is an empty line before the next event, which means nothing.
    """
    at = text.rfind(b"\n\n", start)
    end = at + 2 if at >= 0 else 0
    if text.find(b"\r", start) >= 0:
        for pair in (b"\n\r", b"\r\r"):
            at = text.rfind(pair, start)
            if at >= 0:
                end = max(end, at + (3 if text.startswith(b"\n", at + 2) else 2))
    return end


def _first_boundary(text: bytes) -> int:
    """Return where the first event ends that a blank line ends, -1 when none does."""
    found = [at for at in (text.find(pair) for pair in (b"\n\n", b"\n\r", b"\r\r")) if at >= 0]
    if not found:
        return -1
    at = min(found)
    return at + (3 if text[at + 1 : at + 3] == b"\r\n" else 2)
