"""Why a backend cannot serve a request."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RejectionKind(StrEnum):
    """Whether waiting may help."""

    TRANSIENT = "transient"
    FINAL = "final"


class Rejection(msgspec.Struct, frozen=True):
    """Why one candidate cannot serve one request.

    Attributes:
        kind: whether waiting may help.
        code: stable, for programs: ``"unhealthy"``, ``"context_length"``, ...
        message: one sentence for the operator: the fact and what would help.
    """

    kind: RejectionKind
    code: str
    message: str
