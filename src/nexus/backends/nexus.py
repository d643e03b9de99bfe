"""Another Nexus as a backend. Source: docs/http-api.md of this project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nexus.backends import shapes
from nexus.backends.base import ErrorReading, Memory, Probe, Report
from nexus.backends.listing import gateway_name, model_of, ways_of
from nexus.backends.openai_compat import OpenAICompatible, optional
from nexus.domain import BackendStatus, BackendType, Capabilities, FailureKind, Model, replace
from nexus.protocol.headers import MAX_GATEWAYS, Header

_FLAGS: Final = frozenset(Capabilities.__struct_fields__)


class NexusAdapter(OpenAICompatible):
    """Polls ``/v1/models`` and ``/health``.

    Laws: a model is offered only with the way to it, which begins with the peer's own id; a way
    that is too long, or that cannot be read, is no way. What the peer says of itself is believed
    as little as any other server's words: at worst its own models are lost.
    """

    type = BackendType.NEXUS

    async def examine(self, probe: Probe, memory: Memory) -> Report:
        """Make the round; ``/health`` says which gateway it is and how busy."""
        report = await self.listed(probe)
        if report.type is BackendType.GENERIC:
            # Its header alone proves a gateway, and /health that it has an id.
            report = replace(report, type=None)
        if report.status is not BackendStatus.HEALTHY or report.type is not None:
            return report
        health = shapes.mapping(await optional(probe, "/health"))
        peer = gateway_name(health.get("gateway_id"))
        if health and not peer:
            return replace(report, type=BackendType.GENERIC)
        peer = memory["gateway_id"] = peer or memory.get("gateway_id", "")
        ways = (_led_by(peer, model) for model in report.models or ())
        return replace(
            report,
            models=tuple(model for model in ways if model is not None),
            slots=_free_slots(health),
            version=shapes.text(health.get("version")),
        )

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row; what the peer cannot serve now is left out, and so is a way that makes no sense."""
        model = model_of(row)
        if model is None or row.get("available") is False or ways_of(row) is None:
            return None
        stated = shapes.mapping(row.get("capabilities"))
        flags = {name: value for name, value in stated.items() if name in _FLAGS and isinstance(value, bool)}
        return replace(model, capabilities=Capabilities(**flags))

    def read_error(
        self,
        status: int,
        body: bytes,
        headers: Sequence[Header] = (),
        *,
        surface: str = "",
        request: bytes = b"",
    ) -> ErrorReading:
        """See :meth:`Adapter.read_error`.

        A peer without a backend that qualifies says 503 and why: what waiting will not help is no
        business of its load.
        """
        reading = super().read_error(status, body, headers, surface=surface, request=request)
        codes = _final_rejections(body) if status == 503 else frozenset()
        if not codes:
            return reading
        learns = next(iter(codes)) if len(codes) == 1 else None
        if learns == "context_length":
            return replace(reading, kind=FailureKind.CONTEXT_OVERFLOW, capability=None)
        if learns == "surface":
            learns = f"surface:{surface}" if surface else None
        elif learns not in _FLAGS:
            learns = None
        return replace(reading, kind=FailureKind.MISSING_CAPABILITY, capability=learns)


def _led_by(peer: str, model: Model) -> Model | None:
    """Return the model with ``peer`` at the head of the way to it; ``None`` for a way that is none."""
    via = model.via if not peer or model.via[:1] == (peer,) else (peer, *model.via)
    if len(via) > MAX_GATEWAYS or len(set(via)) < len(via):
        return None
    return model if via == model.via else replace(model, via=via)


def _free_slots(health: shapes.Row) -> int | None:
    """Return how many requests of ours it could take at once, beside those of its other clients."""
    slots = shapes.count(health.get("slots"))
    if slots is None:
        return None
    return max(1, slots - (shapes.count(health.get("in_flight")) or 0))


def _final_rejections(body: bytes) -> frozenset[str]:
    """Return why nobody behind the peer qualifies; empty when waiting may help, or nobody says."""
    context = shapes.mapping(shapes.mapping(shapes.mapping(shapes.decode(body)).get("error")).get("context"))
    rows = tuple(shapes.rows(context.get("rejections")))
    if any(row.get("waiting_may_help") is not False for row in rows):
        return frozenset()
    return frozenset(code for row in rows if (code := shapes.text(row.get("code"))))
