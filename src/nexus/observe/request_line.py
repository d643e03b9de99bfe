"""The fields of a request's line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

Failures = Sequence[dict[str, Any]]


class RequestLine(msgspec.Struct, gc=False):
    """The fields of a request's line, in their order."""

    timestamp: str
    level: str
    logger: str
    event: str
    id: str
    surface: str
    model: str
    served_model: str
    backend: str
    backend_type: str
    status: int
    error: str
    attempts: int
    reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated_tokens: int | None
    first_byte_seconds: float | None
    seconds: float
    overhead_seconds: float | None
    streamed: bool
    client_closed: bool
    failures: Failures
