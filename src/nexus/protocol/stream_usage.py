"""Asking a backend for the tokens of a stream: the one field that Nexus may add.

OpenAI's reference, ``stream_options``: with ``include_usage`` one more chunk comes before ``[DONE]``,
with the usage and an empty ``choices``.
"""

from __future__ import annotations

from typing import Final

from nexus.domain import replace
from nexus.protocol.envelope import Envelope
from nexus.protocol.surfaces import StreamEnd, Surface

_MEMBER: Final = b'"stream_options":{"include_usage":true}'
_NAME: Final = "stream_options"


def asking_usage(envelope: Envelope, surface: Surface) -> Envelope:
    """Return the body with the field; ``envelope`` itself where it has one or is no such stream.

    Args:
        envelope: a body that was read.
        surface: where it was posted: only chats and completions know the field.
    """
    if not envelope.stream or surface.end is not StreamEnd.CHAT or _NAME in envelope.fields:
        return envelope
    # The body streams, so that it has members and needs the comma.
    at = envelope.text.index(b"{") + 1
    body, text = (one[:at] + _MEMBER + b"," + one[at:] for one in (envelope.body, envelope.text))
    return replace(envelope, body=body, text=text)
