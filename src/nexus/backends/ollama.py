"""Ollama. Source: https://github.com/ollama/ollama/blob/main/docs/api.md (0.9.3 recorded)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.backends.base import Memory, Probe, Report
from nexus.backends.listing import unique
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.backends.wordings import Word
from nexus.domain import BackendStatus, BackendType, Capabilities, FailureKind, Model
from nexus.errors import UpstreamError
from nexus.protocol.envelope import Fix

DEFAULT_CONTEXT: Final = 4096
"""What Ollama gives a model when nobody says otherwise, on a machine with little memory."""

SHOWS_A_ROUND: Final = 16
"""How many models of an older server are looked up in one poll."""

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)


class Shown(msgspec.Struct, frozen=True):
    """What ``/api/show`` says of one digest.

    Attributes:
        trained: the context of the weights.
        configured: ``num_ctx`` of the model's own parameters.
        capabilities: the words for what it can do, or ``None``.
    """

    trained: int | None = None
    configured: int | None = None
    capabilities: frozenset[str] | None = None


class OllamaAdapter(OpenAICompatible):
    """Polls ``/api/tags`` and ``/api/ps``, and ``/api/show`` once a digest on servers before 0.30.

    None of them loads a model. ``/v1/models`` is not asked: it hides which models are remote.
    """

    type = BackendType.OLLAMA
    default_slots = 1
    fixes = frozenset({Fix.MAX_TOKENS, Fix.SYSTEM_ROLE})
    words = (
        Word(FailureKind.BUSY, r"server busy"),
        Word(FailureKind.CONTEXT_OVERFLOW, r"input length exceeds the context length"),
    )

    async def examine(self, probe: Probe, memory: Memory) -> Report:
        """Make the round; only ``/api/tags`` must succeed."""
        reply = await probe.get("/api/tags")
        if reply.status == 403 and not reply.body.strip():
            return Report(
                BackendStatus.UNAUTHORIZED,
                "refuses the name that it is called by, as Ollama on loopback does behind a proxy: have the "
                "proxy send `Host: localhost:11434`, or set OLLAMA_HOST=0.0.0.0 on the server",
            )
        listed = shapes.mapping(shapes.decode(reply.body)) if reply.status == 200 else {}
        tags = listed.get("models", ())
        if not (tags is None or isinstance(tags, list)):
            memory.clear()
            return await self._explained(
                probe, self.misfit(reply) if reply.status == 200 else self.refused(reply)
            )
        found = list(shapes.rows(tags))
        running = await optional(probe, "/api/ps")
        await self._look_up(probe, memory, found)
        if "version" not in memory:
            version = await optional(probe, "/api/version")
            memory["version"] = shapes.text(shapes.mapping(version).get("version"))
        loaded = _running(running)
        return Report(
            BackendStatus.HEALTHY,
            models=unique(_model(row, loaded, memory["shown"].get(_digest(row), Shown())) for row in found),
            version=memory["version"],
        )

    async def _explained(self, probe: Probe, report: Report) -> Report:
        """Ask the list that every server has, to say which dialect it is that has no ``/api/tags``."""
        if report.type is not None or report.status is not BackendStatus.UNHEALTHY:
            return report
        try:
            other = await self.listed(probe)
        except UpstreamError:
            return report
        return other if other.type is not None else report

    async def _look_up(self, probe: Probe, memory: Memory, found: Sequence[shapes.Row]) -> None:
        """Fetch what the list left out, a few models a round, and forget digests that are gone."""
        before: dict[str, Shown] = memory.get("shown", {})
        bare = {_digest(row): _name(row) for row in found if _is_bare(row) and _name(row)}
        shown = {digest: before[digest] for digest in bare if digest in before}
        for digest in [digest for digest in bare if digest not in shown][:SHOWS_A_ROUND]:
            try:
                reply = await probe.post("/api/show", msgspec.json.encode({"model": bare[digest]}))
            except UpstreamError:
                break
            if reply.status == 200:
                shown[digest] = _shown(shapes.decode(reply.body))
        memory["shown"] = shown


def _name(row: shapes.Row) -> str:
    return shapes.name(row.get("model")) or shapes.name(row.get("name"))


def _digest(row: shapes.Row) -> str:
    """Return the identity of a model's content; without one, its name must do."""
    return shapes.text(row.get("digest")) or _name(row)


def _is_bare(row: shapes.Row) -> bool:
    details = shapes.mapping(row.get("details"))
    return "capabilities" not in row and "context_length" not in details and not _is_remote(row)


def _is_remote(row: shapes.Row) -> bool:
    return bool(row.get("remote_host") or row.get("remote_model"))


def _running(payload: object) -> dict[str, int | None] | None:
    """Return the loaded models with their contexts, or ``None`` when ``/api/ps`` did not say."""
    listed = shapes.mapping(payload).get("models", ())
    if not isinstance(payload, dict) or not (listed is None or isinstance(listed, list)):
        return None
    return {_name(row): shapes.count(row.get("context_length")) for row in shapes.rows(listed) if _name(row)}


def _shown(payload: object) -> Shown:
    info = shapes.mapping(shapes.mapping(payload).get("model_info"))
    trained = (shapes.count(value) for key, value in info.items() if key.endswith(".context_length"))
    parameters = shapes.mapping(payload).get("parameters")
    found = _NUM_CTX.search(parameters[:65536]) if isinstance(parameters, str) else None
    return Shown(
        trained=next((number for number in trained if number), None),
        configured=shapes.count(int(found[1])) if found else None,
        capabilities=shapes.strings(shapes.mapping(payload).get("capabilities")),
    )


def _model(row: shapes.Row, loaded: dict[str, int | None] | None, shown: Shown) -> Model | None:
    """Read one row of ``/api/tags``; the loaded context wins over the configured one."""
    name = _name(row)
    if not name:
        return None
    details = shapes.mapping(row.get("details"))
    trained = shapes.count(details.get("context_length")) or shown.trained
    configured = shown.configured
    if configured is not None and trained is not None:
        configured = min(configured, trained)
    remote = _is_remote(row)
    running = loaded is not None and name in loaded
    words = shapes.strings(row.get("capabilities")) or shown.capabilities
    return Model(
        id=name,
        native_id=name,
        context_length=((loaded or {}).get(name) if running else None) or configured,
        context_assumed=trained if remote else min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
        capabilities=_capabilities(words, remote=remote),
        loaded=None if loaded is None or remote else running,
        owned_by=name.split("/")[-2] if "/" in name else "library",
        remote=remote,
    )


def _capabilities(words: frozenset[str] | None, *, remote: bool) -> Capabilities:
    """Read the words of ``types/model/capability.go``; images must come inside the request.

    A model that can chat also embeds on many versions, so embeddings are never known false here.
    """
    json = None if remote else True
    if words is None:
        return Capabilities(remote_image=False, json=json)
    embeds = "embedding" in words
    return Capabilities(
        vision="vision" in words,
        remote_image=False,
        audio="audio" in words,
        tools="tools" in words,
        json=json,
        embeddings=embeds or None,
        chat=True if "completion" in words else (False if embeds else None),
    )
