"""Where a value lies inside JSON text, so that it can be replaced and nothing else moves.

Law: every byte that is not edited stays where it is: whitespace, key order, number spellings,
repeated keys. So an edit is a replaced span of the original text, never a re-encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

Fields = dict[str, msgspec.Raw]

_FIELDS: Final = msgspec.json.Decoder(Fields)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NEXT_VALUE: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_NEXT_ITEM: Final = re.compile(rb"[ \t\r\n,]*")

_LONE_SURROGATE: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_MOST_SURROGATES: Final = 10_000


class Span(msgspec.Struct, frozen=True):
    """A member's place: its key (with the quotes) and its value."""

    key_start: int
    key_end: int
    start: int
    end: int


class Edit(msgspec.Struct, frozen=True, order=True):
    """A span of text and what stands there instead."""

    start: int
    end: int
    text: bytes


def fields_of(text: bytes) -> Fields:
    """Return the members of an object, each value as its own bytes; the last of a repeated key.

    Raises:
        msgspec.DecodeError: not a JSON object.
        RecursionError: nested too deep.
        UnicodeDecodeError: a key that is not UTF-8 (values are not looked at).
    """
    return _FIELDS.decode(text)


def without_lone_surrogates(text: bytes) -> bytes:
    r"""Return the text with every lone surrogate escape as ``\ufffd``; lengths do not change.

    ``"\ud83d"`` alone is what JavaScript writes when a string was cut inside an emoji. JSON allows
    it, msgspec does not; what a backend makes of it is the backend's matter. More than 10,000 of
    them stay, so that nobody keeps the gateway busy with them.
    """
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return _LONE_SURROGATE.sub(rb"\1\\ufffd", text, count=_MOST_SURROGATES)


def locate(text: bytes, key: str, value: msgspec.Raw) -> Span | None:
    """Find the top-level member of a JSON object whose value is in force.

    Every place where the quoted key stands in the text is a candidate; it may as well be nested or
    inside a string. The right one is the last whose disguise takes the member away, found by
    halving: a text with one candidate costs no decoding, one with a thousand ten.

    Args:
        text: a JSON object that :func:`fields_of` accepted.
        key: a plain ASCII name.
        value: what :func:`fields_of` gave for it.

    Returns:
        ``None`` when the key is written with escapes.
    """
    quoted = b'"%b"' % key.encode("ascii")
    key_start = text.find(quoted)
    if key_start < 0:
        return None
    if text.rfind(quoted) != key_start:
        for _ in range(_last_in_force(text, key, quoted) - 1):
            key_start = text.find(quoted, key_start + 1)
    key_end = key_start + len(quoted)
    raw = bytes(value)
    if text.startswith(b":" + raw, key_end):
        return Span(key_start, key_end, key_end + 1, key_end + 1 + len(raw))
    colon = _NEXT_VALUE.match(text, key_end)
    if colon is None or not text.startswith(raw, colon.end()):
        return None
    return Span(key_start, key_end, colon.end(), colon.end() + len(raw))


def _last_in_force(text: bytes, key: str, quoted: bytes) -> int:
    """Return the smallest number of disguised candidates that makes the key disappear."""
    disguise = disguised(quoted)
    low, high = 1, text.count(quoted)
    while low < high:
        middle = (low + high) // 2
        if key in fields_of(text.replace(quoted, disguise, middle)):
            low = middle + 1
        else:
            high = middle
    return low


def disguised(quoted: bytes) -> bytes:
    """Return a quoted key of the same length that nobody else uses."""
    return b'"' + b"\x7f" * (len(quoted) - 2) + b'"'


def items(text: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield each item of a JSON array with the place where it begins.

    Args:
        text: the array alone.
        offset: where the array begins; added to every place.
    """
    position = 1
    for raw in _ITEMS.decode(text):
        item = bytes(raw)
        gap = _NEXT_ITEM.match(text, position)
        position = gap.end() if gap is not None else position
        yield offset + position, item
        position += len(item)


def apply(text: bytes, edits: Sequence[Edit]) -> bytes:
    """Return the text with the edits made, or the same object when there are none.

    Args:
        text: the original.
        edits: spans that do not overlap, in any order.
    """
    if not edits:
        return text
    if len(edits) == 1:
        edit = edits[0]
        return b"".join((text[: edit.start], edit.text, text[edit.end :]))
    pieces = []
    position = 0
    for edit in sorted(edits):
        pieces.append(text[position : edit.start])
        pieces.append(edit.text)
        position = edit.end
    pieces.append(text[position:])
    return b"".join(pieces)
