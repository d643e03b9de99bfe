"""OpenAI's own API: the list has names only, so what they can do is a small table.

Source: https://platform.openai.com/docs/models. Names outside the table stay unknown.
"""

from __future__ import annotations

import re
from typing import Final

from nexus.backends import shapes
from nexus.backends.listing import model_of
from nexus.backends.openai_compat import OpenAICompatible
from nexus.domain import UNKNOWN_CAPABILITIES, BackendType, Capabilities, Model, replace

_SEES: Final = Capabilities(
    vision=True, remote_image=True, tools=True, json=True, embeddings=False, chat=True
)
_TEXT: Final = Capabilities(vision=False, tools=True, json=True, embeddings=False, chat=True)
_EMBEDS: Final = Capabilities(vision=False, audio=False, tools=False, embeddings=True, chat=False)
_OTHER: Final = Capabilities(embeddings=False, chat=False)

_FAMILIES: Final = {
    "gpt-5": (400_000, _SEES),
    "gpt-5-mini": (400_000, _SEES),
    "gpt-5-nano": (400_000, _SEES),
    "gpt-4.1": (1_047_576, _SEES),
    "gpt-4.1-mini": (1_047_576, _SEES),
    "gpt-4.1-nano": (1_047_576, _SEES),
    "gpt-4o": (128_000, _SEES),
    "gpt-4o-mini": (128_000, _SEES),
    "gpt-4-turbo": (128_000, _SEES),
    "gpt-3.5-turbo": (16_385, _TEXT),
    "o1": (200_000, _SEES),
    "o3": (200_000, _SEES),
    "o3-mini": (200_000, _TEXT),
    "o4-mini": (200_000, _SEES),
    "text-embedding-3-small": (8_192, _EMBEDS),
    "text-embedding-3-large": (8_192, _EMBEDS),
    "text-embedding-ada-002": (8_192, _EMBEDS),
    "whisper-1": (None, _OTHER),
    "tts-1": (None, _OTHER),
    "tts-1-hd": (None, _OTHER),
    "dall-e-2": (None, _OTHER),
    "dall-e-3": (None, _OTHER),
    "gpt-image-1": (None, _OTHER),
    "omni-moderation-latest": (None, _OTHER),
}
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class OpenAIAdapter(OpenAICompatible):
    """Polls ``/v1/models``, which is free of charge."""

    type = BackendType.OPENAI
    cloud = True

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row; the table's context is documented, not reported, so it excludes nothing."""
        model = model_of(row)
        if model is None:
            return None
        context, known = _FAMILIES.get(_DATE.sub("", model.id), (None, UNKNOWN_CAPABILITIES))
        return replace(model, context_assumed=context, capabilities=known)
