"""vLLM's OpenAI server.

Source: https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html (0.32.0 recorded).
"""

from __future__ import annotations

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.backends.wordings import Word
from nexus.domain import BackendStatus, BackendType, FailureKind, Model, replace


class VllmAdapter(OpenAICompatible):
    """Polls ``/v1/models`` and ``/health``, and asks ``/version`` once.

    The list has no capability flags: tools depend on how the server was started, vision and
    embeddings on the model. They stay unknown until a refusal teaches them.
    """

    type = BackendType.VLLM
    counts_max_tokens = True
    words = (Word(FailureKind.SERVER_ERROR, r"enginedeaderror|engine (?:core|process|loop).{0,40}dead"),)

    async def examine(self, probe: Probe, memory: Memory) -> Report:
        """Make the round; ``/health`` says 503 when the engine has died behind the server.

        The list goes first: what answers it as somebody else would generate a token for ``/health``.
        """
        report = await self.listed(probe)
        if report.status is BackendStatus.HEALTHY and report.type is None:
            health = await probe.get("/health")
            if health.status == 503:
                return Report(BackendStatus.UNHEALTHY, "its engine is dead or not ready (/health says 503)")
            if "version" not in memory:
                memory["version"] = version_of(await optional(probe, "/version"))
            report = replace(report, version=memory["version"])
        else:
            memory.clear()
        return report

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row; ``max_model_len`` is the configured context, JSON mode is built in."""
        model = model_of(row)
        if model is None:
            return None
        known = replace(model.capabilities, json=True)
        return replace(model, capabilities=known, loaded=True)


def version_of(payload: object) -> str:
    """Return the ``version`` of ``{"version": "…"}``, or empty."""
    return shapes.text(shapes.mapping(payload).get("version"))
