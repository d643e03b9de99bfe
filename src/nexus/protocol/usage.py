"""Token counts, in every shape that backends report them."""

from __future__ import annotations

from typing import Final

import msgspec

from nexus.domain import Usage
from nexus.protocol.counted import Counted, CountedLoosely

_COUNTED: Final = msgspec.json.Decoder(Counted)
_REPLY: Final = msgspec.json.Decoder(CountedLoosely)


def plain_usage(body: bytes) -> Usage | None:
    """Return the counts of a reply of the usual shape, which is no error.

    ``None`` says nothing: the body has another shape, or counts less.
    """
    try:
        reply = _COUNTED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if reply.object == "error" or reply.type == "error":
        return None
    usage = reply.usage
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if prompt is None or completion is None or prompt < 0 or completion < 0:
        return None
    return usage


def usage_of(body: bytes) -> Usage | None:
    """Return the counts in the whole body of a reply that was not streamed.

    Args:
        body: any bytes; what is not JSON or says nothing gives ``None``.
    """
    try:
        return read_usage(_REPLY.decode(body).usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_usage(value: object) -> Usage | None:
    """Return the counts of a ``usage`` object; ``None`` when it holds none.

    OpenAI's chat and completions say ``prompt_tokens`` and ``completion_tokens``, Responses and
    Anthropic's Messages ``input_tokens`` and ``output_tokens``. Anthropic counts cached input apart
    (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching), so it is added.
    """
    if not isinstance(value, dict):
        return None
    prompt = _count(value.get("prompt_tokens"))
    completion = _count(value.get("completion_tokens"))
    if prompt is None:
        prompt = _count(value.get("input_tokens"))
        if prompt is not None:
            prompt += _count(value.get("cache_creation_input_tokens")) or 0
            prompt += _count(value.get("cache_read_input_tokens")) or 0
    if completion is None:
        completion = _count(value.get("output_tokens"))
    if prompt is None and completion is None:
        return None
    return Usage(prompt, completion)


def merge_usage(old: Usage | None, new: Usage | None) -> Usage | None:
    """Return the newer counts, with the older ones where it does not say."""
    if old is None or new is None:
        return new or old
    return Usage(
        old.prompt_tokens if new.prompt_tokens is None else new.prompt_tokens,
        old.completion_tokens if new.completion_tokens is None else new.completion_tokens,
    )


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None
