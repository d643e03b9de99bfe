"""LocalAI. Source: https://github.com/mudler/LocalAI (``core/http``, 4.9.0)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.backends.vllm import version_of
from nexus.domain import BackendStatus, BackendType, Capabilities, Model, replace
from nexus.errors import UpstreamError

WELL_KNOWN: Final = "/.well-known/localai.json"
"""Says what it is, with a key or without."""

SHOWS_A_ROUND: Final = 16
"""How many models are looked up in one poll."""

_DESCRIBED: Final = "/models/capabilities"
_TALKS: Final = frozenset({"chat", "completion"})


class LocalAIAdapter(OpenAICompatible):
    """Polls ``/readyz`` and ``/v1/models/capabilities``, and ``/api/show`` once a model.

    None of them loads a model. ``/v1/models`` is asked where the described list is missing.
    """

    type = BackendType.LOCALAI
    default_slots = 1

    async def examine(self, probe: Probe, memory: Memory) -> Report:
        """Make the round; ``/readyz`` says 503 while the server itself starts."""
        ready = await probe.get("/readyz")
        if ready.status == 503:
            return Report(BackendStatus.LOADING, "starting (/readyz says 503)")
        path = memory.get("list", _DESCRIBED)
        report = await self.listed(probe, path)
        if report.status is BackendStatus.UNHEALTHY and path == _DESCRIBED:
            report = await self.listed(probe)
            path = "/models"
        if report.status is not BackendStatus.HEALTHY or report.type is not None:
            return report
        memory["list"] = path
        models = report.models or ()
        await _look_up(probe, memory, models)
        if "version" not in memory:
            memory["version"] = version_of(await optional(probe, WELL_KNOWN))
        contexts = memory["contexts"]
        return replace(
            report,
            version=memory["version"],
            models=tuple(replace(model, context_length=contexts.get(model.native_id)) for model in models),
        )

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row; a model whose uses are stated, none of them talking, does not chat."""
        model = model_of(row)
        if model is None:
            return None
        known = model.capabilities
        uses = shapes.strings(row.get("capabilities"))
        if uses is not None and not uses & _TALKS:
            known = replace(known, chat=False)
        return replace(model, capabilities=known)


async def _look_up(probe: Probe, memory: Memory, models: Sequence[Model]) -> None:
    """Ask for contexts that are not known yet, a few a round, and forget models that are gone."""
    before: dict[str, int | None] = memory.get("contexts", {})
    contexts = {m.native_id: before[m.native_id] for m in models if m.native_id in before}
    memory["contexts"] = contexts
    asked = [m.native_id for m in models if m.native_id not in contexts and _has_context(m.capabilities)]
    for name in asked[:SHOWS_A_ROUND]:
        try:
            reply = await probe.post("/api/show", msgspec.json.encode({"model": name}))
        except UpstreamError:
            return
        shown = shapes.mapping(shapes.decode(reply.body)) if reply.status == 200 else {}
        # Nothing configured is an answer, too; a restart, after which it may be, empties the memory.
        contexts[name] = shapes.count(shapes.mapping(shown.get("model_info")).get("general.context_length"))


def _has_context(known: Capabilities) -> bool:
    return known.chat is not False or known.embeddings is True
