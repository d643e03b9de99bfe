"""LM Studio's server. Source: https://lmstudio.ai/docs/developer/rest (2026-04); closed source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import model_of, models_of, proven_type, read_rows, unique
from nexus.backends.openai_compat import OpenAICompatible
from nexus.backends.wordings import Word
from nexus.domain import BackendStatus, BackendType, Capabilities, FailureKind, Model, replace
from nexus.http.client import Fetched
from nexus.protocol.headers import Header, find

_V1: Final = "/api/v1/models"
_V0: Final = "/api/v0/models"
_LISTS: Final = (_V1, _V0)


class LMStudioAdapter(OpenAICompatible):
    """Polls the newest model list that this version has: ``/api/v1``, ``/api/v0`` or ``/v1``.

    An unknown path gets 200 and an ERROR line in the user's log: which list exists is remembered,
    and only bodies are believed.
    """

    type = BackendType.LMSTUDIO
    default_slots = 1
    words = (
        Word(FailureKind.SERVER_ERROR, r"failed to load model|model has crashed|model (?:was )?unloaded"),
    )

    async def examine(self, probe: Probe, memory: Memory) -> Report:
        """Make the round, from the newest list down."""
        for number, path in enumerate(_LISTS):
            if number < memory.get("first_list", 0):
                continue
            reply = await probe.get(path)
            if reply.status in (401, 403) or reply.status >= 500:
                return self.refused(reply)
            report = _from_v1(reply) if path == _V1 else self._from_v0(reply)
            if report is not None:
                memory["first_list"] = number
                return report
        report = await self.listed(probe)
        if report.status is BackendStatus.HEALTHY:
            memory["first_list"] = len(_LISTS)
        return report

    def _from_v0(self, reply: Fetched) -> Report | None:
        rows = read_rows(reply.body)
        if rows is None:
            return None
        proven = proven_type(reply, rows)
        return Report(
            BackendStatus.HEALTHY,
            models=models_of(rows, self.model),
            type=proven if proven is not self.type else None,
        )

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row of ``/api/v0``: only what is loaded has a context that counts."""
        model = model_of(row)
        if model is None:
            return None
        state = row.get("state")
        return replace(
            model,
            context_length=shapes.count(row.get("loaded_context_length")),
            loaded=state == "loaded" if state in ("loaded", "not-loaded") else None,
        )


def _from_v1(reply: Fetched) -> Report | None:
    """Read ``/api/v1/models``, or return ``None`` when this is not it."""
    payload = shapes.decode(reply.body)
    listed = shapes.mapping(payload).get("models")
    if not isinstance(listed, list):
        return None
    found = list(shapes.rows(listed))
    if found and not any("key" in row for row in found):
        return None
    slots = sum(_parallel(row) for row in found)
    return Report(BackendStatus.HEALTHY, models=unique(_native(row) for row in found), slots=slots or None)


def _native(row: shapes.Row) -> Model | None:
    key = shapes.name(row.get("key"))
    if not key:
        return None
    configs = _configs(row)
    contexts = [number for config in configs if (number := shapes.count(config.get("context_length")))]
    embeds = row.get("type") in ("embedding", "embeddings")
    stated = shapes.mapping(row.get("capabilities"))
    return Model(
        id=key,
        native_id=key,
        context_length=min(contexts, default=None),
        context_assumed=shapes.count(row.get("max_context_length")),
        capabilities=Capabilities(
            vision=False if embeds else shapes.flag(stated.get("vision")),
            tools=stated.get("trained_for_tool_use") is True or None,
            embeddings=True if embeds else None,
            chat=False if embeds else (True if row.get("type") == "llm" else None),
        ),
        loaded=bool(configs) if isinstance(row.get("loaded_instances"), list) else None,
        owned_by=shapes.text(row.get("publisher")),
    )


def _configs(row: shapes.Row) -> list[shapes.Row]:
    return [shapes.mapping(instance.get("config")) for instance in shapes.rows(row.get("loaded_instances"))]


def _parallel(row: shapes.Row) -> int:
    return sum(shapes.count(config.get("parallel")) or 0 for config in _configs(row))


def says_express(headers: Sequence[Header]) -> bool:
    """Tell whether a reply comes from a Node server, as LM Studio's do: a hint, never a proof."""
    return (find(headers, b"x-powered-by") or b"").strip().lower() == b"express"
