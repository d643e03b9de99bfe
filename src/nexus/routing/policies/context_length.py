"""A prompt that cannot fit is not sent; a prompt that fits is never refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from nexus.domain import BackendType, Rejection, Requirements
from nexus.registry import Candidate
from nexus.registry.stats import DEFAULT_BYTES_PER_TOKEN
from nexus.routing.policies.base import JudgeContext, final

_REMEDIES: Final[Mapping[BackendType, str]] = {
    BackendType.OLLAMA: "raise num_ctx of the model or OLLAMA_CONTEXT_LENGTH there",
    BackendType.LLAMACPP: "start it with a larger -c or with fewer slots (-np), which share it",
    BackendType.VLLM: "start it with a larger --max-model-len",
    BackendType.SGLANG: "start it with a larger --context-length",
    BackendType.TGI: "start it with larger --max-input-tokens and --max-total-tokens",
    BackendType.LMSTUDIO: "load the model with a larger context length there",
    BackendType.LOCALAI: "raise context_size in the model's file there",
}
_REMEDY: Final = "use a model with a larger context"


class ContextLength:
    """Excludes by a *known* context and a *lower bound* of the prompt in tokens.

    Law: unknown is not unsupported. An assumed context excludes nothing; neither does
    ``max_tokens``, except on backends that refuse the sum.
    """

    name = "context_length"

    def applies(self, requirements: Requirements) -> bool:  # noqa: ARG002 - it always applies
        """Return ``True``."""
        return True

    def room(self, candidates: Sequence[Candidate]) -> float:
        """Return what the smallest known context holds."""
        contexts = [known for candidate in candidates if (known := candidate.context_length) is not None]
        return DEFAULT_BYTES_PER_TOKEN * min(contexts, default=math.inf)

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Reject a known context that is too small, after an overflow any that is not larger."""
        known = candidate.context_length
        above = context.requirements.context_above
        if above is not None and (known is None or known <= above):
            return _not_larger(candidate, known, above)
        if known is None:
            return None
        # The default ratio gives the highest of all lower bounds: most requests end here.
        if context.text_bytes <= DEFAULT_BYTES_PER_TOKEN * (known - context.max_tokens):
            return None
        least = candidate.stats.ratio.least_tokens(context.text_bytes)
        reply = context.max_tokens if candidate.backend.counts_max_tokens else 0
        if least + reply <= known:
            return None
        return _overflow(candidate, known, least, reply)


def _overflow(candidate: Candidate, known: int, least: float, reply: int) -> Rejection:
    asked = f" and max_tokens {reply}" if reply else ""
    return final(
        "context_length",
        f"Backend {candidate.backend.spec.name!r} holds {known} tokens of context for {candidate.key!r}; "
        f"the prompt has at least {math.ceil(least)}{asked}. Shorten it, or {_remedy(candidate)}.",
    )


def _not_larger(candidate: Candidate, known: int | None, above: int) -> Rejection:
    context = "an unknown context" if known is None else f"{known} tokens of context"
    remedy = "set `context_length` where detection cannot know it" if known is None else _remedy(candidate)
    return final(
        "context_length",
        f"Backend {candidate.backend.spec.name!r} has {context} for {candidate.key!r}; the prompt overflowed "
        f"{above} tokens elsewhere. Shorten it, or {remedy}.",
    )


def _remedy(candidate: Candidate) -> str:
    return _REMEDIES.get(candidate.backend.type, _REMEDY)


POLICY: Final = ContextLength()
