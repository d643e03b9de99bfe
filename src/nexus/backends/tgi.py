"""Hugging Face's text-generation-inference.

Source: https://github.com/huggingface/text-generation-inference (``router``, 3.3.7).
"""

from __future__ import annotations

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.backends.wordings import Word
from nexus.domain import BackendStatus, BackendType, FailureKind, Model, replace
from nexus.protocol.envelope import Fix


class TgiAdapter(OpenAICompatible):
    """Polls ``/v1/models`` and ``/info``: one model, whose context is ``max_total_tokens``.

    Law: never ``/health`` (nor ``/`` and ``/ping``, which are the same): it generates a token as
    long as no request has succeeded (``health.rs``). A router whose shards died ends with them.
    """

    type = BackendType.TGI
    default_slots = 128
    fixes = frozenset({Fix.STOP_ARRAY})
    counts_max_tokens = True
    words = (Word(FailureKind.BUSY, r"model is overloaded"),)

    async def examine(self, probe: Probe, memory: Memory) -> Report:  # noqa: ARG002 (nothing is worth remembering)
        """Make the round; ``/info`` only adds to the list."""
        report = await self.listed(probe)
        if report.status is not BackendStatus.HEALTHY or report.type is not None:
            return report
        info = shapes.mapping(await optional(probe, "/info"))
        context = shapes.count(info.get("max_total_tokens"))
        return replace(
            report,
            version=shapes.text(info.get("version")),
            slots=shapes.count(info.get("max_concurrent_requests")),
            models=tuple(replace(m, context_length=context) for m in report.models or ()),
        )

    def model(self, row: shapes.Row) -> Model | None:
        """Read the one row; there is no path for embeddings, and nothing says what else it can do."""
        model = model_of(row)
        if model is None:
            return None
        known = replace(model.capabilities, embeddings=False)
        return replace(model, capabilities=known, loaded=True)


def is_router(info: object) -> bool:
    """Tell whether ``info`` is what TGI's router answers at ``/info``."""
    return shapes.text(shapes.mapping(info).get("router")).startswith("text-generation-router")
