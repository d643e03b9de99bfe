"""Spans by OpenTelemetry's SDK, exported by OTLP over HTTP. Imported only while tracing is on.

Attributes are those of the GenAI semantic conventions
(https://opentelemetry.io/docs/specs/semconv/gen-ai/), which still move; ours begin with ``nexus.``.

Law: whatever the collector does, requests do not notice: spans wait in a bounded queue for the
exporter's own thread, and are dropped when it is full.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from nexus import __version__
from nexus.domain import Attempt, Outcome
from nexus.observe.mask import Mask
from nexus.observe.request_log import cut_name, estimated_tokens
from nexus.observe.tracing import Asked, Trace

_OPERATIONS: Final[Mapping[str, str]] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
_NANO: Final = 1_000_000_000


class _Given(IdGenerator):
    """Hands out the ids that were drawn when the request came."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_span_id(self) -> int:
        return self.span_id

    def generate_trace_id(self) -> int:
        return self.trace_id


class OtelTracer:
    """A :class:`~nexus.observe.tracing.Tracer`; everything else is said by ``OTEL_*`` variables.

    Args:
        environ: where a name of the service would stand.
        rng: draws ids.
        mask: takes keys out of what clients and backends say.
    """

    def __init__(self, environ: Mapping[str, str], rng: random.Random, mask: Mask) -> None:
        named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        own = {"service.version": __version__} | ({} if named else {"service.name": "nexus"})
        self._rng = rng
        self._mask = mask
        self._ids = _Given()
        self._provider = TracerProvider(
            resource=Resource.create(own), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("nexus", __version__)
        self._closing: threading.Thread | None = None

    def begin(self, fields: Mapping[bytes, bytes]) -> Trace:
        """See :meth:`Tracer.begin`: the client's flag counts as ``OTEL_TRACES_SAMPLER`` says."""
        trace = Trace(self._rng, fields)
        found = self._provider.sampler.should_sample(
            _context(trace), trace.trace_id, "request", SpanKind.SERVER
        )
        trace.sampled = found.decision is Decision.RECORD_AND_SAMPLE
        return trace

    def ended(self, outcome: Outcome, trace: Trace, asked: Sequence[Asked]) -> None:
        """See :meth:`Tracer.ended`."""
        if not trace.sampled:
            return
        operation = _OPERATIONS.get(outcome.surface, outcome.surface)
        # A name that nobody has had is the client's invention: there would be no end of them.
        name = f"{operation} {cut_name(outcome.model)}" if outcome.resolved_model else operation
        self._ids.trace_id, self._ids.span_id = trace.trace_id, trace.span_id
        begun = _nanoseconds(outcome.started_at)
        root = self._tracer.start_span(name, _context(trace), SpanKind.SERVER, start_time=begun)
        root.set_attributes(_of_request(outcome, operation, self._mask))
        if outcome.status >= 500 or (outcome.error and outcome.status < 400):
            root.set_status(Status(StatusCode.ERROR, outcome.error or None))
        inside = set_span_in_context(root, Context())
        for attempt, span_id, whom in zip(outcome.attempts, trace.attempts, asked, strict=False):
            self._ids.span_id = span_id
            self._attempt(inside, outcome, attempt, whom)
        root.end(_nanoseconds(outcome.started_at + outcome.seconds))

    def _attempt(self, inside: Context, outcome: Outcome, attempt: Attempt, whom: Asked) -> None:
        operation = _OPERATIONS.get(outcome.surface, outcome.surface)
        begun = outcome.started_at + attempt.began - outcome.began
        span = self._tracer.start_span(
            f"{operation} {attempt.model}", inside, SpanKind.CLIENT, start_time=_nanoseconds(begun)
        )
        span.set_attributes(_of_attempt(outcome, attempt, whom, operation))
        if attempt.failure is not None:
            span.set_status(Status(StatusCode.ERROR, self._mask.configured(attempt.message) or None))
        span.end(_nanoseconds(begun + attempt.seconds))

    def begin_close(self) -> None:
        """See :meth:`Tracer.begin_close`."""
        self._closing = threading.Thread(target=self._provider.shutdown, name="nexus-traces", daemon=True)
        self._closing.start()

    @property
    def closed(self) -> bool:
        """See :meth:`Tracer.closed`."""
        return self._closing is not None and not self._closing.is_alive()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANO)


def _context(trace: Trace) -> Context:
    """Return the client's span as the parent, if it told one."""
    parent = trace.parent
    if parent is None:
        return Context()
    state = TraceState.from_header([trace.state.decode("latin-1")])
    span = SpanContext(parent.trace_id, parent.span_id, True, TraceFlags(parent.flags), state)  # noqa: FBT003  # remote
    return set_span_in_context(NonRecordingSpan(span), Context())


def _of_request(outcome: Outcome, operation: str, mask: Mask) -> dict[str, Any]:
    usage = outcome.usage
    return _said(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": str(outcome.backend_type),
            "gen_ai.request.model": mask.configured(cut_name(outcome.model)),
            "gen_ai.request.stream": outcome.streamed,
            "gen_ai.response.model": outcome.served_model,
            "gen_ai.response.time_to_first_chunk": outcome.first_byte_seconds if outcome.streamed else None,
            "gen_ai.usage.input_tokens": usage.prompt_tokens if usage is not None else None,
            "gen_ai.usage.output_tokens": usage.completion_tokens if usage is not None else None,
            "http.response.status_code": outcome.status,
            "error.type": outcome.error or (str(outcome.status) if outcome.status >= 500 else None),
            "nexus.request_id": outcome.request_id,
            "nexus.surface": outcome.surface,
            "nexus.backend": outcome.backend,
            "nexus.attempts": len(outcome.attempts),
            "nexus.route_reason": str(outcome.route_reason or ""),
            "nexus.fallback": outcome.fallback,
            "nexus.estimated_tokens": estimated_tokens(outcome),
            "nexus.first_byte_seconds": outcome.first_byte_seconds,
            "nexus.overhead_seconds": outcome.overhead_seconds,
            "nexus.decision_seconds": outcome.decision_seconds,
            "nexus.client_closed": outcome.client_closed,
        }
    )


def _of_attempt(outcome: Outcome, attempt: Attempt, whom: Asked, operation: str) -> dict[str, Any]:
    served = attempt.failure is None
    usage = outcome.usage if served else None
    return _said(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": whom.type,
            "gen_ai.request.model": attempt.model,
            "gen_ai.response.model": attempt.model if served else None,
            "gen_ai.usage.input_tokens": usage.prompt_tokens if usage is not None else None,
            "gen_ai.usage.output_tokens": usage.completion_tokens if usage is not None else None,
            "server.address": whom.host,
            "server.port": whom.port,
            "http.response.status_code": attempt.status,
            "error.type": None if served else str(attempt.failure),
            "nexus.backend": attempt.backend,
            "nexus.sent": attempt.sent,
            "nexus.first_byte_seconds": attempt.first_byte_seconds,
        }
    )


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what is known: there is no null among attributes."""
    return {name: value for name, value in attributes.items() if value is not None and value != ""}
