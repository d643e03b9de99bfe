"""SGLang's OpenAI server. Source: https://docs.sglang.ai/basic_usage/native_api.html (0.5.23)."""

from __future__ import annotations

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.domain import BackendStatus, BackendType, Capabilities, Model, replace

_INFO_PATHS = ("/model_info", "/get_model_info")


class SGLangAdapter(OpenAICompatible):
    """Polls ``/ready``, ``/v1/models`` and ``/model_info``.

    Law: never ``/health``, which generates a token and takes a second or more.
    """

    type = BackendType.SGLANG
    counts_max_tokens = True

    async def examine(self, probe: Probe, memory: Memory) -> Report:
        """Make the round; a server without ``/ready`` answers 404 there, which says nothing."""
        ready = await probe.get("/ready")
        if ready.status == 503:
            return Report(BackendStatus.LOADING, "starting or shutting down (/ready says 503)")
        report = await self.listed(probe)
        if report.status is not BackendStatus.HEALTHY or report.type is not None:
            return report
        flags = await self._flags(probe, memory)
        models = tuple(replace(model, capabilities=flags) for model in report.models or ())
        return replace(report, models=models)

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row: the fields are vLLM's."""
        model = model_of(row)
        return None if model is None else replace(model, loaded=True)

    async def _flags(self, probe: Probe, memory: Memory) -> Capabilities:
        """Read the flags of the one model, from the path that this version has."""
        paths = (memory["info_path"],) if "info_path" in memory else _INFO_PATHS
        for path in paths:
            info = await optional(probe, path)
            if isinstance(info, dict):
                memory["info_path"] = path
                return flags_of(info)
        memory.pop("info_path", None)
        return Capabilities(json=True)


def flags_of(info: shapes.Row) -> Capabilities:
    """Read ``/model_info``: a null ``tool_call_parser`` means no tools, an absent one is unknown."""
    generates = shapes.flag(info.get("is_generation"))
    vision = shapes.flag(info.get("has_image_understanding"))
    tools = None
    if "tool_call_parser" in info:
        tools = bool(info["tool_call_parser"])
    return Capabilities(
        vision=vision,
        remote_image=vision or None,
        audio=shapes.flag(info.get("has_audio_understanding")),
        tools=tools,
        json=True,
        embeddings=True if generates is False else None,
        chat=generates,
    )
