"""Text of others, made unable to forge a line or to move a terminal's cursor.

Law: of a line that is written every character is printable, in either format: no control
character, no separator that some reader takes for a line break (U+0085, U+2028), nothing that
reorders what is shown (U+202E).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_DELETE: Final = 0x7F
_LEADING: Final = "  | "


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each one that is not printable."""
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text])


def quoted(text: str) -> str:
    """Return ``text`` as one word: in quotes, with escapes, when it is none."""
    return text if text and text.isprintable() and not set(text) & {" ", '"', "'", "="} else repr(text)


def indented(text: str) -> str:
    """Return lines, such as a traceback's, each marked as no line of its own."""
    return "\n".join(_LEADING + printable(line) for line in text.splitlines())


def escaped(line: bytes) -> bytes:
    """Return encoded JSON on one line, with escapes for what is not printable.

    Args:
        line: as msgspec writes it: what JSON demands is escaped already.
    """
    if line.isascii() and _DELETE not in line:
        return line
    text = line.decode()
    if text.isprintable():
        return line
    return "".join([c if c.isprintable() else _escape(c) for c in text]).encode()


def encodable(value: Any) -> Any:  # noqa: ANN401  # whatever JSON has
    """Return ``value`` with what UTF-8 cannot say (halves of surrogate pairs) replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {encodable(name): encodable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(inner) for inner in value]
    return value


def encode(value: Any) -> bytes:  # noqa: ANN401  # whatever JSON has
    """Return ``value`` as JSON on one line, whatever its texts are; others are written as their texts."""
    try:
        line = msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        line = msgspec.json.encode(encodable(msgspec.to_builtins(value, enc_hook=str)))
    return escaped(line)


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
