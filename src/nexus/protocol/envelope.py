"""A request body, read once and kept as it came.

Law: a request goes upstream with every value's bytes as they came, except ``model`` and the
listed fixes. So values stay :class:`msgspec.Raw` and edits replace spans of the original text.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.errors import InvalidRequest, UnsupportedMediaType
from nexus.protocol.json_spans import (
    Edit,
    Fields,
    apply,
    disguised,
    fields_of,
    items,
    locate,
    without_lone_surrogates,
)
from nexus.protocol.shapes import OTHER_SPELLINGS, Body, ChatBody, ordinary
from nexus.protocol.surfaces import BodyKind, Surface


class Fix(StrEnum):
    """A change that some backends need, each switchable off per backend."""

    MAX_TOKENS = "max_tokens"
    """``max_completion_tokens`` becomes ``max_tokens``, unless that is there already."""
    SYSTEM_ROLE = "system_role"
    """The role ``developer`` becomes ``system``."""
    STOP_ARRAY = "stop_array"
    """A ``stop`` that is a string becomes an array of it."""


_NO_FIXES: Final[frozenset[Fix]] = frozenset()
_STRING: Final = msgspec.json.Decoder(str)
_QUOTED_MODEL: Final = b'"model"'
_QUOTED_DEVELOPER: Final = b'"developer"'
_TRACES: Final = MappingProxyType(
    {
        Fix.MAX_TOKENS: b'"max_completion_tokens"',
        Fix.SYSTEM_ROLE: _QUOTED_DEVELOPER,
        Fix.STOP_ARRAY: b'"stop"',
    }
)
_HAS_MESSAGES: Final = frozenset({BodyKind.CHAT, BodyKind.MESSAGES})
# Every letter of "model" is U+0064 to U+006F: an escaped spelling of the key holds this.
_ESCAPED_LETTER: Final = b"\\u006"
_BACKSLASH: Final = 0x5C
_OTHER_ESCAPE: Final = b"\\u016"


class Envelope(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One request body.

    Attributes:
        body: the bytes as they came.
        model: the model asked for, or the default one.
        defaulted: the body names no model (none at all, or ``null``).
        stream: whether ``stream`` is the JSON value ``true``.
        text: what was read: ``body``, or a copy of the same length in which lone surrogate
            escapes are replaced, so that places in it are places in ``body``.
        ordinary: the members that Nexus looks at, when they all have an ordinary shape.
    """

    body: bytes
    model: str
    defaulted: bool
    stream: bool
    text: bytes
    ordinary: Body | None

    @property
    def fields(self) -> Fields:
        """The top-level members, each value as its own bytes; read anew each time."""
        return fields_of(self.text)

    def edited(self, *, model: str | None = None, fixes: frozenset[Fix] = _NO_FIXES) -> bytes:
        """Return the body for one backend; ``body`` itself when nothing changes.

        Args:
            model: the backend's own spelling; ``None`` leaves the member as it is. A body that
                came without ``model`` gets the member only when this is given.
            fixes: what the backend needs.
        """
        renamed = model is not None and (model != self.model or self.defaulted)
        if not renamed and not fixes:
            return self.body
        # A name that is written with escapes is not edited, so a plain search finds all work.
        fixing = [fix for fix in fixes if self.text.find(_TRACES[fix]) >= 0]
        if not renamed and not fixing:
            return self.body
        fields = self.fields
        edits: list[Edit] = []
        if model is not None and renamed:
            self._edit_model(model, fields, edits)
        if Fix.MAX_TOKENS in fixing and "max_tokens" not in fields:
            edits.extend(self._max_tokens_edit(fields))
        if Fix.STOP_ARRAY in fixing:
            edits.extend(self._stop_edit(fields))
        if Fix.SYSTEM_ROLE in fixing:
            edits.extend(self._role_edits(fields))
        return apply(self.body, edits)

    def _edit_model(self, model: str, fields: Fields, edits: list[Edit]) -> None:
        encoded = msgspec.json.encode(model)
        value = fields.get("model")
        if value is not None:
            span = locate(self.text, "model", value)
            if span is not None:
                edits.append(Edit(span.start, span.end, encoded))
        else:
            brace = self.text.index(b"{") + 1
            comma = b"," if fields else b""
            edits.append(Edit(brace, brace, _QUOTED_MODEL + b":" + encoded + comma))

    def _max_tokens_edit(self, fields: Fields) -> Iterator[Edit]:
        value = fields.get("max_completion_tokens")
        if value is not None:
            span = locate(self.text, "max_completion_tokens", value)
            if span is not None:
                yield Edit(span.key_start, span.key_end, b'"max_tokens"')

    def _stop_edit(self, fields: Fields) -> Iterator[Edit]:
        value = fields.get("stop")
        if value is not None and bytes(value).startswith(b'"'):
            span = locate(self.text, "stop", value)
            if span is not None:
                yield Edit(span.start, span.start, b"[")
                yield Edit(span.end, span.end, b"]")

    def _role_edits(self, fields: Fields) -> Iterator[Edit]:
        value = fields.get("messages")
        if value is None:
            return
        messages = bytes(value)
        if _QUOTED_DEVELOPER not in messages or not messages.startswith(b"["):
            return
        span = locate(self.text, "messages", value)
        if span is None:
            return
        for start, message in items(messages, span.start):
            if _QUOTED_DEVELOPER not in message or not message.startswith(b"{"):
                continue
            role = fields_of(message).get("role")
            if role is None or bytes(role) != _QUOTED_DEVELOPER:
                continue
            place = locate(message, "role", role)
            if place is not None:
                yield Edit(start + place.start, start + place.end, b'"system"')


def read(
    body: bytes,
    surface: Surface,
    *,
    default_model: str | None = None,
    content_encoding: bytes | None = None,
) -> Envelope:
    """Read a request body once.

    Args:
        body: as it came.
        surface: where it was posted.
        default_model: serves requests without ``model``.
        content_encoding: the request's ``Content-Encoding``, or ``None``.

    Raises:
        UnsupportedMediaType: the body is in a content coding.
        InvalidRequest: not UTF-8, not JSON, not an object, nested too deep, ``model`` missing or
            ambiguous, ``messages`` missing or not an array. What backends validate is theirs.
    """
    if content_encoding is not None and content_encoding.strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType(
            "The request body has a Content-Encoding; send it as plain JSON, without that header."
        )
    if not body.isascii():
        _check_utf8(body)
    members = ordinary(body, surface.body)
    if members is not None and _is_plain(body, members):
        model, stream = members.model or "", members.stream is True
        return Envelope(body, model, defaulted=False, stream=stream, text=body, ordinary=members)
    return _read_loosely(body, surface, members, default_model)


def _is_plain(body: bytes, members: Body) -> bool:
    """Tell whether there is nothing to refuse: one model, plainly written, and messages if need be."""
    if not members.model:
        return False
    if (type(members) is ChatBody or isinstance(members, ChatBody)) and members.messages is None:
        return False
    if _BACKSLASH in body and _ESCAPED_LETTER in body:
        return False
    # In lower case other spellings of the name are seen too; the one that was read is plain.
    return body.lower().count(_QUOTED_MODEL) == 1


def _read_loosely(body: bytes, surface: Surface, members: Body | None, default_model: str | None) -> Envelope:
    """Read a body that is not plain, and say so if it is wrong."""
    text = body
    try:
        fields = fields_of(body)
    except (msgspec.DecodeError, RecursionError):
        text, fields = _read_again(body)
    named = _read_model(text, fields)
    model = named or default_model
    if model is None:
        raise InvalidRequest('The request has no "model"; name one from /v1/models.', param="model")
    if surface.body in _HAS_MESSAGES:
        _check_messages(fields)
    stream = fields.get("stream")
    streams = stream is not None and bytes(stream) == b"true"
    return Envelope(body, model, named is None, streams, text, members)


def _check_utf8(body: bytes) -> None:
    """Refuse bytes that are not UTF-8 (RFC 8259 8.1): ``Raw`` values would let them pass."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidRequest("The request body is UTF-16; send JSON in UTF-8.")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The request body is not valid UTF-8 at byte {error.start}; send JSON in UTF-8."
        ) from None


def _read_again(body: bytes) -> tuple[bytes, Fields]:
    """Read a refused body without its lone surrogate escapes, or say what is wrong with it."""
    text = without_lone_surrogates(body)
    try:
        return text, fields_of(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refusal(body, error) from None


def _refusal(body: bytes, error: Exception) -> InvalidRequest:
    if isinstance(error, RecursionError):
        return InvalidRequest("The request body is nested too deep; send a flatter one.")
    if not body.strip():
        return InvalidRequest("The request body is empty; send a JSON object.")
    if body.startswith(b"\xef\xbb\xbf"):
        return InvalidRequest("The request body begins with a byte-order mark; send JSON without it.")
    if isinstance(error, msgspec.ValidationError):
        return InvalidRequest("The request body is JSON but not an object; send a JSON object.")
    reason = str(error).removeprefix("JSON is malformed: ").removesuffix(".")
    return InvalidRequest(f"The request body is not valid JSON: {reason}.")


def _read_model(text: bytes, fields: Fields) -> str | None:
    """Return the model that the body names, ``None`` for none."""
    if not OTHER_SPELLINGS.isdisjoint(fields):
        raise InvalidRequest(
            'The request has "model" in another spelling; send one member named "model".', param="model"
        )
    value = fields.get("model")
    if value is None:
        return None
    if text.count(_QUOTED_MODEL) > 1 or _ESCAPED_LETTER in text:
        _check_one_model(text)
    raw = bytes(value)
    if raw == b"null":
        return None
    if not raw.startswith(b'"'):
        raise InvalidRequest('"model" must be a string; name one from /v1/models.', param="model")
    model = _STRING.decode(raw)
    if not model:
        raise InvalidRequest('"model" is empty; name one from /v1/models.', param="model")
    return model


def _check_one_model(text: bytes) -> None:
    """Refuse a ``model`` key that is escaped or repeated: a backend might read another one.

    The text is read with the plain key's escaped spellings spoiled, to find the plain key, and
    then with that one key disguised: whatever ``model`` is left was another one.
    """
    plain = text.replace(_ESCAPED_LETTER, _OTHER_ESCAPE)
    value = fields_of(plain).get("model")
    span = None if value is None else locate(plain, "model", value)
    if span is None:
        raise InvalidRequest('The name "model" is written with escapes; write it plainly.', param="model")
    hidden = text[: span.key_start] + disguised(_QUOTED_MODEL) + text[span.key_end :]
    if "model" in fields_of(hidden):
        raise InvalidRequest('The request has "model" more than once; send it once.', param="model")


def _check_messages(fields: Fields) -> None:
    value = fields.get("messages")
    if value is None:
        raise InvalidRequest('The request has no "messages"; send an array of messages.', param="messages")
    if not bytes(value).startswith(b"["):
        raise InvalidRequest('"messages" must be an array of messages.', param="messages")
