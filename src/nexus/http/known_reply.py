"""Reading a reply that is like the last one on its connection, by comparing the two.

A backend sends the same head with every whole reply, but for the length of the body and the date.
A head that differs from one that llhttp has judged in nothing else needs no second judgement:
digits in place of digits, and a date in place of a date, change none.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from nexus.domain import replace
from nexus.protocol.headers import FieldNames, Header, read_reply

MISSES: Final = 8
"""Unlike heads in a row after which a connection looks for no likeness any more."""

_END: Final = b"\r\n\r\n"
_LINE: Final = b"\r\n"
_DATE_LENGTH: Final = 29
# RFC 9110 5.6.7; what comes under the name of Date goes no further than this.
_DATE: Final = re.compile(rb"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


class KnownReply(msgspec.Struct):
    """The head of a 200 that llhttp has read, whose body has an announced length.

    Its bytes are kept as the two pieces around the digits of that length: comparing these costs
    half of what taking the lines apart does.

    Attributes:
        before: up to the digits; with the latest date, if it is here.
        after: from the digits on, with the empty line; with the latest date, if it is here.
        length_at: place of ``Content-Length`` among the headers.
        length_name: as sent.
        date_at: place of ``Date`` among the headers; -1 without one.
        date_from: where the date begins in ``before``; from the end of the digits on when negative:
            ``~date_from`` in ``after``.
        headers: as parsed.
        names: what their names tell.
    """

    before: bytes
    after: bytes
    length_at: int
    length_name: bytes
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
        before, after = self.before, self.after
        start = len(before)
        stop = data.find(_LINE, start)
        body_at = stop + len(after)
        if data[:start] != before or data[stop:body_at] != after:
            if not self._take_date(data, stop):
                return None
            if data[:start] != self.before or data[stop:body_at] != self.after:
                return None
        digits, body = data[start:stop], data[body_at:]
        if digits != b"%d" % len(body):
            return None
        headers = self.headers.copy()
        headers[self.length_at] = (self.length_name, digits)
        return headers, body

    def _take_date(self, data: bytes, stop: int) -> bool:
        """Remember another date, which serves for the rest of its second; False when there is none.

        Any date will do: whether the rest of the head is like this one is compared after it.
        """
        at = begin = self.date_from
        if begin < 0:
            begin = ~begin
            at = stop + begin
        date = data[at : at + _DATE_LENGTH]
        if stop < 0 or self.date_at < 0 or _DATE.fullmatch(date) is None:
            return False
        if at == self.date_from:
            self.before = self.before[:begin] + date + self.before[begin + _DATE_LENGTH :]
        else:
            self.after = self.after[:begin] + date + self.after[begin + _DATE_LENGTH :]
        self.headers[self.date_at] = (self.headers[self.date_at][0], date)
        return True


def known_reply(data: bytes, headers: list[Header], names: FieldNames) -> KnownReply | None:
    """Remember a reply that was read from one piece of bytes; ``None`` when its lines are not its fields.

    Args:
        data: the whole reply, a 200.
        headers: as parsed.
        names: of a reply that has a length and no transfer coding.
    """
    head, end, _ = data.partition(_END)
    lines = head.split(_LINE)
    if len(lines) != len(headers) + 1:
        return None
    length_at = date_at = -1
    length_from = date_from = 0
    begin = len(lines[0]) + 2
    for place, (name, value) in enumerate(headers):
        # Folded lines and odd spaces are the parser's matter.
        if lines[place + 1] != name + b": " + value:
            return None
        if (lowered := name.lower()) == b"content-length":
            length_at, length_from = place, begin + len(name) + 2
        elif lowered == b"date" and date_at < 0 and _DATE.fullmatch(value):
            date_at, date_from = place, begin + len(name) + 2
        begin += len(lines[place + 1]) + 2
    if length_at < 0:
        return None
    name, value = headers[length_at]
    length_to = length_from + len(value)
    if date_from > length_to:
        date_from = ~(date_from - length_to)
    # Neither the length nor the date reaches the client, so a relay reads each such head alike.
    alike = replace(names, told=read_reply(headers, names))
    before, after = head[:length_from], head[length_to:] + end
    return KnownReply(before, after, length_at, name, date_at, date_from, headers.copy(), alike)
