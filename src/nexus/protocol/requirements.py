"""What a request needs of a backend, read from its body.

Law: unknown is not unsupported and a prompt that fits is never refused. So ``text_bytes`` counts
only what every chat template puts into the prompt, and odd shapes, which backends judge, count
for nothing here.
"""

from __future__ import annotations

from typing import Final

from nexus.domain import Requirements
from nexus.protocol import loose_requirements
from nexus.protocol.envelope import Envelope
from nexus.protocol.loose_requirements import IMAGE_PARTS, JSON_FORMATS, LENGTHS, longest, size
from nexus.protocol.shapes import (
    Body,
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    Kind,
    Message,
    MessagesBody,
    Part,
    Place,
    ResponsesBody,
)
from nexus.protocol.surfaces import BodyKind, Surface

_THOUGHTS_END: Final = "</think>"
_EMBEDDING: Final = BodyKind.EMBEDDING


def of(envelope: Envelope, surface: Surface) -> Requirements:
    """Return what a request needs; what cannot be read is not counted.

    Args:
        envelope: the body.
        surface: where it was posted.
    """
    body = envelope.ordinary
    if body is None:
        return loose_requirements.of_fields(envelope, surface)
    parts: list[Part] = []
    # The usual kind at once; the others are told apart in :func:`_prompt`.
    text_bytes = _messages(body.messages or (), parts) if type(body) is ChatBody else _prompt(body, parts)
    images, remote_image, audio = 0, False, False
    if parts:
        more, images, remote_image, audio = _sum(parts)
        text_bytes += more
    return Requirements(
        surface.name,
        envelope.model,
        envelope.stream,
        text_bytes,
        images,
        _max_tokens(body),
        None,
        images > 0,
        remote_image,
        audio,
        (body.tools is not None or body.functions is not None) and _needs_tools(body),
        (body.response_format or body.text or body.output_config) is not None and _needs_json(body),
        surface.body is _EMBEDDING,
    )


def _prompt(body: Body, parts: list[Part]) -> int:
    """Return the bytes of the prompt's texts, and collect the parts that are still to be looked at."""
    if isinstance(body, ChatBody):
        text_bytes = _messages(body.messages or (), parts)
        return text_bytes + _content(body.system, parts) if isinstance(body, MessagesBody) else text_bytes
    if isinstance(body, ResponsesBody):
        return size(body.instructions or "") + _input(body.input, parts)
    if isinstance(body, CompletionBody):
        return longest(body.prompt)
    return longest(body.input) if isinstance(body, EmbeddingBody) else 0


def _messages(messages: list[Message] | tuple[()], parts: list[Part]) -> int:
    text_bytes = 0
    for message in messages:
        content = message.content
        if message.role == "assistant":
            # Some templates (Llama 3.1's) write the calls and drop the words beside them; those of
            # reasoning models leave the thoughts of earlier answers out.
            if message.tool_calls:
                continue
            if isinstance(content, str):
                content = content.rpartition(_THOUGHTS_END)[2]
        if isinstance(content, str):
            # As in ``size``, without the call.
            content = content.strip()
            text_bytes += len(content) if content.isascii() else len(content.encode())
        elif content:
            parts += content
    return text_bytes


def _input(given: str | list[Message] | None, parts: list[Part]) -> int:
    if given is None or isinstance(given, str):
        return size(given or "")
    outputs = (item.output for item in given if item.type == "function_call_output")
    return _messages(given, parts) + sum(_content(output, parts) for output in outputs)


def _content(content: str | list[Part] | None, parts: list[Part]) -> int:
    if isinstance(content, str):
        return size(content)
    parts += content or ()
    return 0


def _sum(parts: list[Part]) -> tuple[int, int, bool, bool]:
    """Return text bytes, number of images, whether one is remote, and whether there is audio."""
    text_bytes = images = 0
    remote = audio = False
    while parts:
        part = parts.pop()
        kind = part.type
        if kind in ("text", "input_text"):
            text_bytes += size(part.text or "")
        elif kind == "tool_result":
            text_bytes += _content(part.content, parts)
        elif kind == "input_audio":
            audio = True
        elif kind in IMAGE_PARTS:
            images += 1
            remote = remote or _is_remote(part.source if part.image_url is None else part.image_url)
    return text_bytes, images, remote, audio


def _is_remote(place: str | Place | None) -> bool:
    url = place.url if isinstance(place, Place) else place
    return url is not None and url[:8].lower().startswith(("http://", "https://"))


def _max_tokens(body: Body) -> int | None:
    """Return the smallest positive integer of the names for it: a lower bound like the rest."""
    given = body.max_tokens
    if body.max_completion_tokens is None and body.max_output_tokens is None:
        return given if given is not None and 0 < given < LENGTHS.stop else None
    named = (given, body.max_completion_tokens, body.max_output_tokens)
    return min((value for value in named if value is not None and value in LENGTHS), default=None)


def _needs_tools(body: Body) -> bool:
    if body.tools and not _says_none(body.tool_choice):
        return True
    return bool(body.functions) and not _says_none(body.function_call)


def _says_none(choice: str | Kind | None) -> bool:
    return (choice.type if isinstance(choice, Kind) else choice) == "none"


def _needs_json(body: Body) -> bool:
    formats = [body.response_format]
    formats += [holder.format for holder in (body.text, body.output_config) if holder is not None]
    return any(kind is not None and kind.type in JSON_FORMATS for kind in formats)
