"""What a request needs, what refused it, what was tried and how it ended."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from nexus.domain.usage import Usage


class Requirements(msgspec.Struct, frozen=True, gc=False):
    """What one request needs of a backend, read once from its body.

    Attributes:
        surface: name of the surface, such as ``"chat"``.
        model: the name as the client wrote it (or the default model).
        stream: whether the client asked for server-sent events.
        text_bytes: UTF-8 bytes of prompt text; a lower bound of the prompt in tokens is
            ``text_bytes / 6``.
        images: how many images the prompt carries.
        max_tokens: the reply's length that the client asked for, or ``None``.
        context_above: only a *known* context larger than this will do: another backend said
            that the prompt overflows this many tokens.
        vision, remote_image, audio, tools, json, embeddings: needed capabilities.
        passed: ids of the gateways that the request has passed, to which it must not return.
    """

    surface: str
    model: str
    stream: bool = False
    text_bytes: int = 0
    images: int = 0
    max_tokens: int | None = None
    context_above: int | None = None
    vision: bool = False
    remote_image: bool = False
    audio: bool = False
    tools: bool = False
    json: bool = False
    embeddings: bool = False
    passed: tuple[str, ...] = ()


class RouteReason(StrEnum):
    """``X-Nexus-Route-Reason``."""

    CAPABILITY_MATCH = "capability-match"
    CAPACITY_OVERFLOW = "capacity-overflow"
    FAILOVER = "failover"


class FailureKind(StrEnum):
    """What went wrong with one attempt: the rows of the two failure tables."""

    REFUSED = "refused"
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "reset"
    PROTOCOL = "protocol"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    SERVER_ERROR = "server_error"
    MISSING_CAPABILITY = "missing_capability"
    BUSY = "busy"
    LOADING = "loading"
    BILLING = "billing"
    CREDENTIALS = "credentials"
    UNKNOWN_MODEL = "unknown_model"
    CONTEXT_OVERFLOW = "context_overflow"
    TRY_AGAIN = "try_again"
    REDIRECT = "redirect"
    CLIENT_ERROR = "client_error"
    LOOP = "loop"
    UPSTREAM_CLOSED = "upstream_closed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    UPSTREAM_INCOMPLETE = "upstream_incomplete"
    ERROR_EVENT = "error_event"
    CLIENT_CLOSED = "client_closed"
    CLIENT_STALLED = "client_stalled"
    CANCELLED = "cancelled"
    SHUTTING_DOWN = "shutting_down"


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One lease, ended.

    Attributes:
        backend: its name.
        backend_id: its id.
        model: the native model name that went upstream.
        failure: what went wrong, or ``None`` for success.
        status: the upstream's HTTP status, or ``None`` when no head came.
        message: the backend's own words or the transport's, secrets and addresses removed.
        sent: whether request bytes left (only then does it count against ``max_retries``).
        first_byte_seconds: from the decision to the first body byte, or ``None``.
        seconds: from the decision to the end.
        retry_after: seconds until the backend asked to be called again, or ``None``.
        began: monotonic seconds at which it began.
    """

    backend: str
    backend_id: str
    model: str
    failure: FailureKind | None = None
    status: int | None = None
    message: str = ""
    sent: bool = False
    first_byte_seconds: float | None = None
    seconds: float = 0.0
    retry_after: float | None = None
    began: float = 0.0


GAP_BUCKETS: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Upper bounds, in seconds, under which the times between a stream's chunks are counted."""


class Gaps(msgspec.Struct, frozen=True, gc=False):
    """The times between the chunks of one stream.

    Attributes:
        counts: how many fell under each of ``GAP_BUCKETS``, and at last those above all.
        seconds: their sum.
    """

    counts: list[int]
    seconds: float


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How one client request ended; exactly one is published for each request.

    Attributes:
        request_id: ``X-Nexus-Request-Id``.
        surface: name of the surface.
        model: the name that the client asked for, or empty when unreadable.
        served_model: the id that served it, or empty.
        backend, backend_type: of the attempt that answered, or empty.
        status: the HTTP status that the client got; 499 when it left before one was sent.
        error: code of the error that Nexus itself answered or appended, or empty.
        streamed: whether an event stream was relayed.
        attempts: every lease in order.
        route_reason: of the last decision, or ``None``.
        fallback: a fallback model served.
        usage: tokens as the backend counted them.
        started_at: wall-clock seconds.
        first_byte_seconds: request read to first body byte written, or ``None``.
        seconds: request read to the end.
        bytes_out: body bytes relayed.
        client_closed: the client left before the end.
        began: monotonic seconds at which the request was read.
        resolved_model: the first id that the name stands for, or empty when no backend has had it.
        delta_events: events of the stream that carried content: about one token each.
        decision_seconds: spent on deciding.
        overhead_seconds: Nexus's own share of the last attempt: from the request read (or the
            attempt before ended) to the bytes sent on, and from the reply's first bytes read to
            their being written; ``None`` when no reply was relayed.
        gaps: times between the stream's chunks, or ``None``.
        rejected_by: name of the policy of each rejection that decisions made.
        traceparent: the client's W3C trace context, or empty.
    """

    request_id: str
    surface: str
    model: str = ""
    served_model: str = ""
    backend: str = ""
    backend_type: str = ""
    status: int = 0
    error: str = ""
    streamed: bool = False
    attempts: tuple[Attempt, ...] = ()
    route_reason: RouteReason | None = None
    fallback: bool = False
    usage: Usage | None = None
    started_at: float = 0.0
    first_byte_seconds: float | None = None
    seconds: float = 0.0
    bytes_out: int = 0
    client_closed: bool = False
    began: float = 0.0
    resolved_model: str = ""
    delta_events: int = 0
    decision_seconds: float = 0.0
    overhead_seconds: float | None = None
    gaps: Gaps | None = None
    rejected_by: tuple[str, ...] = ()
    traceparent: str = ""
