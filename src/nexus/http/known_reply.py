"""Reading a reply that is like the last one on its connection, by comparing the two.

A backend sends the same head with every whole reply, but for the length of the body and the date.
A head that differs from one that llhttp has judged in nothing else needs no second judgement:
digits in place of digits, and a date in place of a date, change none.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from nexus.protocol.headers import FieldNames, Header, read_reply

MISSES: Final = 8
"""Unlike heads in a row after which a connection looks for no likeness any more."""

_END: Final = b"\r\n\r\n"
_LINE: Final = b"\r\n"
_MOST_DIGITS: Final = 18
# RFC 9110 5.6.7; what comes under the name of Date goes no further than this.
_DATE: Final = re.compile(rb"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


class KnownReply(msgspec.Struct):
    """The head of a 200 that llhttp has read, whose body has an announced length.

    Attributes:
        lines: its lines; that of the date is the latest one.
        length_at: place of ``Content-Length`` among the lines.
        length_from: where its digits begin.
        date_at: place of ``Date`` among the lines; 0 without one.
        date_from: where the date begins.
        headers: as parsed.
        names: what their names tell.
    """

    lines: list[bytes]
    length_at: int
    length_from: int
    date_at: int
    date_from: int
    headers: list[Header]
    names: FieldNames

    def read(self, data: bytes) -> tuple[list[Header], bytes] | None:
        """Return the headers and the body of a whole reply that has such a head.

        Args:
            data: what was received, all of it.

        Returns:
            ``None`` when the parser is to judge: another head, or a body that is not whole.
        """
        head, _, body = data.partition(_END)
        lines, known, at = head.split(_LINE), self.lines, self.length_at
        if len(lines) != len(known):
            return None
        line, date = lines[at], self.date_at
        digits = line[self.length_from :]
        if not digits.isdigit() or len(digits) > _MOST_DIGITS or int(digits) != len(body):
            return None
        if line[: self.length_from] != known[at][: self.length_from]:
            return None
        if date and lines[date] != known[date] and not self._take_date(lines[date]):
            return None
        headers = self.headers.copy()
        headers[at - 1] = (headers[at - 1][0], digits)
        lines[at] = known[at]
        return (headers, body) if lines == known else None

    def _take_date(self, line: bytes) -> bool:
        """Remember another date, which serves for the rest of its second."""
        known, begin = self.lines[self.date_at], self.date_from
        if line[:begin] != known[:begin] or _DATE.fullmatch(line, begin) is None:
            return False
        self.lines[self.date_at] = line
        self.headers[self.date_at - 1] = (self.headers[self.date_at - 1][0], line[begin:])
        return True


def known_reply(data: bytes, headers: list[Header], names: FieldNames) -> KnownReply | None:
    """Remember a reply that was read from one piece of bytes; ``None`` when its lines are not its fields.

    Args:
        data: the whole reply, a 200.
        headers: as parsed.
        names: of a reply that has a length and no transfer coding.
    """
    lines = data.partition(_END)[0].split(_LINE)
    if len(lines) != len(headers) + 1:
        return None
    length_at = date_at = date_from = 0
    for place, (name, value) in enumerate(headers, 1):
        # Folded lines and odd spaces are the parser's matter.
        if lines[place] != name + b": " + value:
            return None
        if (lowered := name.lower()) == b"content-length":
            length_at = place
        elif lowered == b"date" and not date_at:
            date_at, date_from = place, len(name) + 2
    if not length_at:
        return None
    length_from = len(headers[length_at - 1][0]) + 2
    # Neither the length nor the date reaches the client, so a relay reads each such head alike.
    alike = msgspec.structs.replace(names, told=read_reply(headers, names))
    return KnownReply(lines, length_at, length_from, date_at, date_from, headers.copy(), alike)
