"""Request bodies of ordinary shape, typed: one decode reads all that Nexus looks at.

Law: the typed reading never decides that a request is wrong. Whatever it does not accept is read
again as loose JSON, by the code that knows how lenient to be and what to say. So a shape here is
strict: it accepts what both readings understand alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nexus.protocol.surfaces import BodyKind


class Part(msgspec.Struct, gc=False):
    """One part of a message's content."""

    type: str | None = None
    text: str | None = None
    content: str | list[Part] | None = None
    image_url: str | Place | None = None
    source: str | Place | None = None


class Place(msgspec.Struct, gc=False):
    """Where an image is."""

    url: str | None = None


class Message(msgspec.Struct, gc=False):
    """One message, or one item of a Responses input."""

    role: str | None = None
    content: str | list[Part] | None = None
    tool_calls: list[msgspec.Raw] | None = None
    type: str | None = None
    output: str | list[Part] | None = None


class Kind(msgspec.Struct, gc=False):
    """An object that matters by its ``type`` alone."""

    type: str | None = None


class Formatted(msgspec.Struct, gc=False):
    """An object that holds a response format."""

    format: Kind | None = None


class Body(msgspec.Struct, gc=False):
    """What every kind of body may say."""

    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | Kind | None = None
    functions: list[msgspec.Raw] | None = None
    function_call: str | Kind | None = None
    response_format: Kind | None = None
    text: Formatted | None = None
    output_config: Formatted | None = None


class ChatBody(Body, gc=False):
    """``/chat/completions``."""

    messages: list[Message] | None = None


class MessagesBody(ChatBody, gc=False):
    """``/messages`` and ``/messages/count_tokens``."""

    system: str | list[Part] | None = None


class ResponsesBody(Body, gc=False):
    """``/responses``."""

    instructions: str | None = None
    input: str | list[Message] | None = None


class CompletionBody(Body, gc=False):
    """``/completions``."""

    prompt: Any = None


class EmbeddingBody(Body, gc=False):
    """``/embeddings``."""

    input: Any = None


OTHER_SPELLINGS: Final = frozenset(
    "".join(letters) for letters in product(*((letter, letter.upper()) for letter in "model"))
) - {"model"}
"""Go servers (Ollama) match names without regard to case: they would read another model."""

_CHAT: Final = BodyKind.CHAT
_CHAT_DECODER: Final = msgspec.json.Decoder(ChatBody)
_DECODERS: Final[Mapping[BodyKind, msgspec.json.Decoder[Any]]] = MappingProxyType(
    {
        BodyKind.MESSAGES: msgspec.json.Decoder(MessagesBody),
        BodyKind.RESPONSES: msgspec.json.Decoder(ResponsesBody),
        BodyKind.COMPLETION: msgspec.json.Decoder(CompletionBody),
        BodyKind.EMBEDDING: msgspec.json.Decoder(EmbeddingBody),
    }
)


def ordinary(text: bytes, kind: BodyKind) -> Body | None:
    """Return the body if its shape is ordinary; ``None`` says nothing about right or wrong.

    A ``model`` in another spelling is not looked for here.

    Args:
        text: UTF-8.
        kind: what its surface takes.
    """
    try:
        # The usual kind first: hashing an enumeration's member runs Python code.
        decoder = _CHAT_DECODER if kind is _CHAT else _DECODERS[kind]
        members: Body = decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return members
