"""How servers word their refusals; a new wording is one row.

Sources: recorded replies of llama.cpp b11549, Ollama 0.9.3 and vLLM 0.32.0, the sources of SGLang
0.5.23, TGI 3.3.7 and exo, LM Studio's issue tracker, and the vendors' error pages
(https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors).
"""

from __future__ import annotations

from typing import Final

import msgspec

from nexus.domain import FailureKind


class Word(msgspec.Struct, frozen=True):
    """One wording.

    Attributes:
        kind: what it means.
        pattern: a regular expression, searched in the lower-case message.
        learns: for a missing capability, its name; ``"surface"`` stands for the surface asked for.
    """

    kind: FailureKind
    pattern: str
    learns: str | None = None


Words = tuple[Word, ...]

_MISSING: Final = FailureKind.MISSING_CAPABILITY
_REFUSES: Final = (
    r"(?:(?:does|do) not (?:currently )?support|no support for|cannot (?:process|accept|handle)"
    r"|no endpoints found that support)"
)
_NARROWER: Final = (
    r"(?! (?:in (?!this)|with (?!this)|of |over |above |larger |bigger "
    r"|formats?|types?|files?|sizes?|media|mime))"
)


def _lacks(thing: str) -> str:
    """Match "does not support THING" and "THING is not supported".

    What refuses one form of the thing ("unsupported image format", "multiple images are not
    supported") must not match: it would teach that the thing as a whole is missing.
    """
    return (
        rf"{_REFUSES} (?:the |any |parameters?:? )?[\['\"`]{{0,2}}(?:{thing})\b{_NARROWER}"
        rf"|(?<!multiple )\b(?:{thing})['\"`]?(?: (?:is|are))? (?:not (?:currently )?supported|unsupported)\b"
    )


COMMON: Final[Words] = (
    # Context: before capabilities, since some of these say "not supported" in passing.
    Word(
        FailureKind.CONTEXT_OVERFLOW,
        r"context[_ ]length[_ ]exceeded|exceed_context_size|exceeds? the available context size"
        r"|maximum context length|longer than the model's context length|exceeds? the (?:model's )?context"
        r"|context (?:window|size|length) (?:is )?exceeded|exceeds? the maximum number of tokens"
        r"|exceeds? (?:the )?maximum allowed length|prompt is too long|input is too long"
        r"|cannot be greater than max_model_len|max_new_tokens`? must be <="
        r"|keep the first \d+ tokens|context the overflows|context overflow"
        r"|reduce the length of the (?:messages|prompt|input)",
    ),
    Word(_MISSING, r"image ur[il]s? (?:is|are) not|must be a base64[- ]encoded image", "remote_image"),
    Word(
        _MISSING,
        _lacks(r"vision|images?|image inputs?|image content|image_url|multimodal(?: inputs?)?")
        + r"|is not a multimodal model|unsupported modality:? image"
        r"|at most 0 image|missing data required for image"
        r"|image_url is only supported by",
        "vision",
    ),
    Word(_MISSING, _lacks(r"audio|audio inputs?|audio content|input_audio") + r"|at most 0 audio", "audio"),
    Word(
        _MISSING,
        _lacks(r"tools?|tool use|tool calls?|tool calling|function calling|functions")
        + r"|tool choice requires|without a tool call parser|tool error: grammar"
        r"|requires --enable-auto-tool-choice",
        "tools",
    ),
    Word(
        _MISSING,
        r"'response_format\.type' must be|response_format.{0,40}json_(?:schema|object).{0,40}not supported",
    ),
    Word(
        _MISSING, _lacks(r"response_format|response format|json mode|json_object|structured outputs?"), "json"
    ),
    Word(
        _MISSING,
        _lacks(r"embeddings?|embeddings? api")
        + r"|(?:is not|not appear to be) (?:an )?embedding\b|not allowed to generate embeddings",
        "embeddings",
    ),
    Word(FailureKind.SERVER_ERROR, r"request failed during generation"),
    Word(
        _MISSING,
        r"does not support (?:the )?(?:chat|completions?|generate|generation)\b"
        r"|(?:only|not) supported in (?:the )?/?v1/|is not a chat model",
        "surface",
    ),
    Word(
        FailureKind.BILLING,
        r"insufficient_quota|credit balance|insufficient (?:balance|credits|funds)|billing[_ ]hard",
    ),
    Word(
        FailureKind.UNKNOWN_MODEL,
        r"model_not_found|deploymentnotfound|unknown model|no such model|no models? (?:is |are )?loaded"
        r"|no instance found for model|not a valid model|invalid model name|^model: \S+$"
        r"|\bmodel (?:[`'\"][^`'\"]{1,300}[`'\"] |\S{1,300} )?(?:was |is )?"
        r"(?:not found|does not exist|not exist|not available|not installed|not loaded)",
    ),
)
"""Searched in order; the first that matches decides."""
