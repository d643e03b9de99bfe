"""An exo cluster. Source: https://github.com/exo-explore/exo (``api`` package, v1.0.71)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of, models_of, proven_type, read_rows
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.domain import BackendStatus, BackendType, Capabilities, Model, replace
from nexus.protocol.envelope import Fix

_DOWNLOADED: Final = "/models?status=downloaded"


_UNDESCRIBED: Final = Capabilities(json=False)


class ExoAdapter(OpenAICompatible):
    """Polls ``/ollama/api/ps`` (or ``/state``) and the downloaded part of ``/v1/models``.

    ``/v1/models`` alone is a catalogue of hundreds that cannot run: only a model with a placed
    instance is offered.
    """

    type = BackendType.EXO
    fixes = frozenset({Fix.MAX_TOKENS, Fix.SYSTEM_ROLE})

    async def examine(self, probe: Probe, memory: Memory) -> Report:  # noqa: ARG002 (placement changes at any time)
        """Make the round; the list only describes what is placed."""
        reply = await probe.get(_DOWNLOADED, root="api")
        if reply.status != 200:
            return self.refused(reply)
        rows = read_rows(reply.body)
        if rows is None:
            return self.misfit(reply)
        proven = proven_type(reply, rows)
        if proven not in (None, self.type):
            return Report(BackendStatus.HEALTHY, models=models_of(rows, model_of), type=proven)
        placed = await _placed(probe)
        if placed is None:
            return Report(BackendStatus.UNHEALTHY, "neither /ollama/api/ps nor /state says what it runs")
        described = {model.native_id: model for model in models_of(rows, self.model)}
        models = tuple(described.get(name) or _undescribed(name) for name in placed[: shapes.MAX_ROWS])
        return Report(BackendStatus.HEALTHY, models=models)

    def model(self, row: shapes.Row) -> Model | None:
        """Read one card; its context is the trained one, and JSON mode is accepted but not applied."""
        model = model_of(row)
        if model is None:
            return None
        return replace(
            model,
            context_length=None,
            context_assumed=model.context_length or model.context_assumed,
            capabilities=replace(model.capabilities, json=False),
            loaded=True,
        )


def _undescribed(name: str) -> Model:
    return Model(id=name, native_id=name, capabilities=_UNDESCRIBED, loaded=True, owned_by="exo")


async def _placed(probe: Probe) -> tuple[str, ...] | None:
    """Return the names of placed models, or ``None`` when nothing says so."""
    running = await optional(probe, "/ollama/api/ps")
    found: Iterator[str]
    if isinstance(running, dict) and "models" in running:
        found = (shapes.name(row.get("model") or row.get("name")) for row in shapes.rows(running["models"]))
    else:
        state = await optional(probe, "/state")
        if not isinstance(state, dict) or "instances" not in state:
            return None
        found = _instances(state["instances"])
    return tuple(dict.fromkeys(name for name in found if name))


def _instances(instances: object) -> Iterator[str]:
    """Yield model names; each instance is wrapped in an object that names its kind."""
    for instance in list(shapes.mapping(instances).values())[: shapes.MAX_ROWS]:
        outer = shapes.mapping(instance)
        for holder in (outer, *list(outer.values())[:8]):
            assigned = shapes.mapping(shapes.mapping(holder).get("shardAssignments"))
            yield shapes.name(assigned.get("modelId"))
