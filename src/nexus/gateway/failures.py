"""The failure tables as data: what each failed attempt means, before and after the first byte.

Law: fail over before the first byte, be honest after it. A backend's status changes only by
connection-level failures and by checks; one request's 5xx, 401 or 403 asks for a check and rests
the (backend, model) briefly.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.domain import FailureKind
from nexus.errors import (
    ConnectRefused,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    TlsFailure,
    TotalTimeout,
    UpstreamClosed,
    UpstreamError,
    UpstreamProtocolError,
)


class Action(Enum):
    """What a failure does to the backend, or to the (backend, model)."""

    NOTHING = auto()
    UNREACHABLE = auto()
    CHECK = auto()
    REST = auto()
    BUSY = auto()
    LEARN = auto()
    REFRESH = auto()
    CONTEXT = auto()
    MISCONFIGURED = auto()


class Effect(msgspec.Struct, frozen=True):
    """One row: whether another backend is tried, and what happens to this one."""

    retry: bool
    action: Action


def _again(action: Action) -> Effect:
    return Effect(retry=True, action=action)


_FINAL: Final = Effect(retry=False, action=Action.NOTHING)

BEFORE_FIRST_BYTE: Final[Mapping[FailureKind, Effect]] = MappingProxyType(
    {
        FailureKind.REFUSED: _again(Action.UNREACHABLE),
        FailureKind.TLS: _again(Action.UNREACHABLE),
        FailureKind.CONNECT_TIMEOUT: _again(Action.CHECK),
        FailureKind.RESET: _again(Action.CHECK),
        FailureKind.PROTOCOL: _again(Action.CHECK),
        FailureKind.FIRST_BYTE_TIMEOUT: _again(Action.CHECK),
        FailureKind.TOTAL_TIMEOUT: _FINAL,
        FailureKind.SERVER_ERROR: _again(Action.REST),
        FailureKind.MISSING_CAPABILITY: _again(Action.LEARN),
        FailureKind.BUSY: _again(Action.BUSY),
        FailureKind.LOADING: _again(Action.BUSY),
        FailureKind.BILLING: _again(Action.REST),
        FailureKind.CREDENTIALS: _again(Action.REST),
        FailureKind.UNKNOWN_MODEL: _again(Action.REFRESH),
        FailureKind.CONTEXT_OVERFLOW: _again(Action.CONTEXT),
        FailureKind.TRY_AGAIN: _again(Action.NOTHING),
        FailureKind.REDIRECT: _again(Action.MISCONFIGURED),
        FailureKind.LOOP: _again(Action.NOTHING),
        FailureKind.CLIENT_ERROR: _FINAL,
        FailureKind.CLIENT_CLOSED: _FINAL,
        FailureKind.CLIENT_STALLED: _FINAL,
        FailureKind.CANCELLED: _FINAL,
        FailureKind.SHUTTING_DOWN: _FINAL,
    }
)

# After the first byte nothing is tried again; a failure that is the backend's asks for a check.
CHECKED_AFTER_FIRST_BYTE: Final = frozenset(
    {
        FailureKind.UPSTREAM_CLOSED,
        FailureKind.UPSTREAM_TIMEOUT,
        FailureKind.UPSTREAM_INCOMPLETE,
        FailureKind.ERROR_EVENT,
    }
)

_BEFORE: Final[tuple[tuple[type[UpstreamError], FailureKind], ...]] = (
    (ConnectRefused, FailureKind.REFUSED),
    (TlsFailure, FailureKind.TLS),
    (ConnectTimeout, FailureKind.CONNECT_TIMEOUT),
    (FirstByteTimeout, FailureKind.FIRST_BYTE_TIMEOUT),
    (IdleTimeout, FailureKind.FIRST_BYTE_TIMEOUT),
    (TotalTimeout, FailureKind.TOTAL_TIMEOUT),
    (UpstreamProtocolError, FailureKind.PROTOCOL),
    (UpstreamClosed, FailureKind.RESET),
)

_AFTER: Final[tuple[tuple[type[UpstreamError], FailureKind], ...]] = (
    (IdleTimeout, FailureKind.UPSTREAM_TIMEOUT),
    (FirstByteTimeout, FailureKind.UPSTREAM_TIMEOUT),
    (TotalTimeout, FailureKind.TOTAL_TIMEOUT),
)

EVENT_TEXT: Final[Mapping[FailureKind, tuple[str, str]]] = MappingProxyType(
    {
        FailureKind.UPSTREAM_CLOSED: ("upstream_closed", "the backend closed the connection mid-reply"),
        FailureKind.UPSTREAM_TIMEOUT: ("upstream_timeout", "the backend fell silent mid-reply"),
        FailureKind.TOTAL_TIMEOUT: ("upstream_timeout", "the reply took longer than timeouts.total_seconds"),
        FailureKind.UPSTREAM_INCOMPLETE: (
            "upstream_incomplete",
            "the backend ended its stream without finishing the reply",
        ),
        FailureKind.CANCELLED: ("cancelled", "the request was cancelled by an operator"),
        FailureKind.SHUTTING_DOWN: ("shutting_down", "the gateway is shutting down"),
    }
)


def before_first_byte(error: UpstreamError) -> FailureKind:
    """Name the row of the first table for a transport failure."""
    return _lookup(error, _BEFORE, FailureKind.RESET)


def after_first_byte(error: UpstreamError) -> FailureKind:
    """Name the row of the second table for a transport failure."""
    return _lookup(error, _AFTER, FailureKind.UPSTREAM_CLOSED)


def _lookup(
    error: UpstreamError, rows: tuple[tuple[type[UpstreamError], FailureKind], ...], default: FailureKind
) -> FailureKind:
    return next((kind for error_type, kind in rows if isinstance(error, error_type)), default)
