"""llama.cpp's ``llama-server``, with one model or as a router over several.

Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md (b11549).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.backends.wordings import Word
from nexus.domain import BackendStatus, BackendType, FailureKind, Model, replace

_IN_MEMORY: Final[Mapping[str, bool]] = {
    "loaded": True,
    "unloaded": False,
    "loading": False,
    "sleeping": False,
}


class LlamaCppAdapter(OpenAICompatible):
    """Polls ``/v1/models``, ``/health`` and ``/props``.

    Those three neither wake a sleeping server nor load a model. ``/props?model=`` and ``/slots``
    do, and ``/`` answers 200 while the model loads: none of them is asked.
    """

    type = BackendType.LLAMACPP
    default_slots = 1
    words = (
        Word(FailureKind.MISSING_CAPABILITY, r"does not support logits computation", "surface"),
        Word(FailureKind.MISSING_CAPABILITY, r"pooling type 'none'", "embeddings"),
        Word(FailureKind.MISSING_CAPABILITY, r"requires --jinja", "tools"),
    )

    async def examine(self, probe: Probe, memory: Memory) -> Report:  # noqa: ARG002 (nothing is worth remembering)
        """Make the round; builds that list their models while they load are told by ``/health``.

        The list goes first: what answers it as somebody else would generate a token for ``/health``.
        """
        report = await self.listed(probe)
        if report.status is not BackendStatus.HEALTHY or report.type is not None:
            return report
        health = await probe.get("/health")
        if health.status == 503:
            return self.refused(health)
        props = shapes.mapping(await optional(probe, "/props"))
        return self._with_props(report, props)

    def model(self, row: shapes.Row) -> Model | None:
        """Read ``meta``, ``architecture`` and, from a router, ``status``.

        JSON mode is always there (grammars). Tools are not known false where the chat template
        lacks them: the server has a generic handler.
        """
        model = model_of(row)
        state = shapes.text(shapes.mapping(row.get("status")).get("value"))
        if model is None or state == "downloading":
            return None
        known = replace(model.capabilities, json=True)
        if known.vision:
            known = replace(known, remote_image=True)
        return replace(model, capabilities=known, loaded=_IN_MEMORY.get(state))

    def _with_props(self, report: Report, props: shapes.Row) -> Report:
        models = report.models or ()
        version = shapes.text(props.get("build_info"))
        if props.get("role") == "router" or any(model.loaded is not None for model in models):
            return replace(report, version=version)
        return replace(
            report,
            version=version,
            slots=shapes.count(props.get("total_slots")),
            models=tuple(_completed(model, props) for model in models),
        )


def _completed(model: Model, props: shapes.Row) -> Model:
    """Add what ``/props`` says of the only model; ``n_ctx`` there is per slot, too."""
    settings = shapes.mapping(props.get("default_generation_settings"))
    modalities = shapes.mapping(props.get("modalities"))
    caps = shapes.mapping(props.get("chat_template_caps"))
    known: dict[str, Any] = {
        "vision": shapes.flag(modalities.get("vision")),
        "audio": shapes.flag(modalities.get("audio")),
        "remote_image": modalities.get("vision") is True or None,
        "tools": caps.get("supports_tools") is True or None,
    }
    stated = {key: value for key, value in known.items() if value is not None}
    sleeping = shapes.flag(props.get("is_sleeping"))
    return replace(
        model,
        context_length=model.context_length or shapes.count(settings.get("n_ctx")),
        capabilities=replace(model.capabilities, **stated),
        loaded=None if sleeping is None else not sleeping,
    )
