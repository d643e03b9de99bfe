"""What a request of no ordinary shape needs: odd values, which backends judge, count for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus.domain import Requirements
from nexus.protocol.envelope import Envelope
from nexus.protocol.json_spans import Fields
from nexus.protocol.surfaces import BodyKind, Surface

_ANY: Final = msgspec.json.Decoder()
JSON_FORMATS: Final = frozenset({"json_object", "json_schema"})
_LENGTH_NAMES: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
IMAGE_PARTS: Final = frozenset({"image_url", "input_image", "image"})
_MEMBERS_READ: Final = frozenset(
    {"tools", "functions", "response_format", "text", "output_config", *_LENGTH_NAMES}
)


LENGTHS: Final = range(1, 10**18)
"""Values of ``max_tokens`` that can be meant."""


def size(text: str) -> int:
    """Return the UTF-8 bytes of a text without its ends, which templates trim."""
    text = text.strip()
    return len(text) if text.isascii() else len(text.encode())


def longest(value: object) -> int:
    """Return the size of the longest of several prompts: each has the context to itself."""
    texts = value if isinstance(value, list) else (value,)
    return max((size(text) for text in texts if isinstance(text, str)), default=0)


class _Prompt:
    """A running sum over the parts of one prompt."""

    __slots__ = ("audio", "images", "remote_image", "text_bytes")

    def __init__(self) -> None:
        self.text_bytes = 0
        self.images = 0
        self.remote_image = False
        self.audio = False

    def text(self, value: object) -> None:
        if isinstance(value, str):
            self.text_bytes += size(value)

    def answer(self, value: object) -> None:
        """Count an earlier answer: templates of reasoning models leave its thoughts out."""
        if isinstance(value, str):
            self.text(value.rpartition("</think>")[2])
        else:
            self.content(value)

    def content(self, value: object) -> None:
        """Count a message's content: a string, or parts of it."""
        if isinstance(value, str):
            self.text(value)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    self._part(part)

    def _part(self, part: dict[str, Any]) -> None:
        kind = part.get("type")
        if kind in ("text", "input_text"):
            self.text(part.get("text"))
        elif kind == "tool_result":
            self.content(part.get("content"))
        elif kind == "input_audio":
            self.audio = True
        elif isinstance(kind, str) and kind in IMAGE_PARTS:
            self.images += 1
            url = _image_url(part)
            if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")):
                self.remote_image = True


def _image_url(part: dict[str, Any]) -> object:
    """Return where an image is: ``image_url`` (string or object), or an Anthropic ``source``."""
    place = part.get("image_url")
    if place is None:
        place = part.get("source")
    return place.get("url") if isinstance(place, dict) else place


def _chat(fields: Fields, prompt: _Prompt) -> None:
    _messages(_value(fields, "messages"), prompt)


def _anthropic(fields: Fields, prompt: _Prompt) -> None:
    prompt.content(_value(fields, "system"))
    _messages(_value(fields, "messages"), prompt)


def _messages(messages: object, prompt: _Prompt) -> None:
    if not isinstance(messages, list):
        return
    for message in messages:
        if not isinstance(message, dict):
            continue
        if message.get("role") == "assistant":
            # Some templates (Llama 3.1's) write the calls and drop the words beside them.
            if not message.get("tool_calls"):
                prompt.answer(message.get("content"))
        else:
            prompt.content(message.get("content"))


def _responses(fields: Fields, prompt: _Prompt) -> None:
    prompt.text(_value(fields, "instructions"))
    given = _value(fields, "input")
    if isinstance(given, str):
        prompt.text(given)
        return
    _messages(given, prompt)
    if isinstance(given, list):
        for item in given:
            if isinstance(item, dict) and item.get("type") == "function_call_output":
                prompt.content(item.get("output"))


def _completion(fields: Fields, prompt: _Prompt) -> None:
    prompt.text_bytes = longest(_value(fields, "prompt"))


def _embedding(fields: Fields, prompt: _Prompt) -> None:
    prompt.text_bytes = longest(_value(fields, "input"))


_READERS: Final[Mapping[BodyKind, Callable[[Fields, _Prompt], None]]] = MappingProxyType(
    {
        BodyKind.CHAT: _chat,
        BodyKind.MESSAGES: _anthropic,
        BodyKind.RESPONSES: _responses,
        BodyKind.COMPLETION: _completion,
        BodyKind.EMBEDDING: _embedding,
    }
)


def of_fields(envelope: Envelope, surface: Surface) -> Requirements:
    """Return what a request needs; what cannot be read is not counted.

    Args:
        envelope: the body.
        surface: where it was posted.
    """
    fields = envelope.fields
    prompt = _Prompt()
    _READERS[surface.body](fields, prompt)
    max_tokens = None
    tools = json = False
    if not _MEMBERS_READ.isdisjoint(fields):
        max_tokens = _max_tokens(fields)
        tools = _needs_tools(fields)
        json = _needs_json(fields)
    return Requirements(
        surface=surface.name,
        model=envelope.model,
        stream=envelope.stream,
        text_bytes=prompt.text_bytes,
        images=prompt.images,
        max_tokens=max_tokens,
        vision=prompt.images > 0,
        remote_image=prompt.remote_image,
        audio=prompt.audio,
        tools=tools,
        json=json,
        embeddings=surface.body is BodyKind.EMBEDDING,
    )


def _value(fields: Fields, name: str) -> object:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _max_tokens(fields: Fields) -> int | None:
    """Return the smallest positive integer of the names for it: a lower bound like the rest."""
    smallest = None
    for name in _LENGTH_NAMES:
        raw = fields.get(name)
        if raw is not None:
            digits = bytes(raw)
            if digits.isdigit() and len(digits) < 19 and (value := int(digits)) in LENGTHS:
                smallest = value if smallest is None else min(smallest, value)
    return smallest


def _needs_tools(fields: Fields) -> bool:
    return (_is_filled(fields.get("tools")) and not _is_none(fields, "tool_choice")) or (
        _is_filled(fields.get("functions")) and not _is_none(fields, "function_call")
    )


def _is_filled(raw: msgspec.Raw | None) -> bool:
    """Tell whether a value is an array with something in it."""
    if raw is None:
        return False
    text = bytes(raw)
    return text.startswith(b"[") and not text[1:].lstrip().startswith(b"]")


def _is_none(fields: Fields, name: str) -> bool:
    choice = _value(fields, name)
    if isinstance(choice, dict):
        choice = choice.get("type")
    return choice == "none"


def _needs_json(fields: Fields) -> bool:
    return (
        _is_json(_value(fields, "response_format"))
        or _is_json(_member(_value(fields, "text"), "format"))
        or _is_json(_member(_value(fields, "output_config"), "format"))
    )


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _is_json(value: object) -> bool:
    kind = _member(value, "type")
    return isinstance(kind, str) and kind in JSON_FORMATS
