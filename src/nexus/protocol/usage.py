"""Token counts, in every shape that backends report them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from nexus.domain import Usage

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Counts(msgspec.Struct, gc=False):
    """What nearly every backend says: the members of OpenAI's ``usage``, as whole numbers."""

    prompt_tokens: _Count
    completion_tokens: _Count


class _Counted(msgspec.Struct, gc=False):
    usage: _Counts


class _Reply(msgspec.Struct, gc=False):
    usage: Any = None


_COUNTED: Final = msgspec.json.Decoder(_Counted)
_REPLY: Final = msgspec.json.Decoder(_Reply)


def usage_of(body: bytes) -> Usage | None:
    """Return the counts in the whole body of a reply that was not streamed.

    Args:
        body: any bytes; what is not JSON or says nothing gives ``None``.
    """
    try:
        counts = _COUNTED.decode(body).usage
        return Usage(counts.prompt_tokens, counts.completion_tokens)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
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
