"""The one answer a client gets when no attempt succeeded or no backend qualifies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from nexus.domain import Attempt, BackendStatus, FailureKind, RejectionKind
from nexus.errors import (
    BadGateway,
    GatewayTimeout,
    LoopDetected,
    ModelNotFound,
    RateLimited,
    RequestError,
    ServiceUnavailable,
)
from nexus.protocol.error_body import quote
from nexus.registry.snapshot import Snapshot
from nexus.registry.stats import BUSY_SECONDS
from nexus.routing.decision import Refusal

_TIMEOUTS: Final = frozenset(
    {FailureKind.FIRST_BYTE_TIMEOUT, FailureKind.CONNECT_TIMEOUT, FailureKind.TOTAL_TIMEOUT}
)
_WAITING: Final = frozenset({FailureKind.BUSY, FailureKind.LOADING})
_KEYS: Final = frozenset({FailureKind.CREDENTIALS, FailureKind.BILLING})
_REJECTIONS_SHOWN: Final = 50
_TIMED: Final = frozenset({"busy", "loading"})


def every_attempt_failed(model: str, attempts: Sequence[Attempt]) -> RequestError:
    """Sum failed attempts up as one error.

    Args:
        model: the name that the client asked for.
        attempts: at least one, each with a failure.

    Returns:
        404 when all said unknown model, 429 when all said 429, 503 when busy or loading is among
        them, 502 ``backend_credentials`` for refused keys, 508 for loops, 504 when the last one
        timed out, else 502.
    """
    last = attempts[-1]
    context = {"attempts": [_row(attempt) for attempt in attempts]}
    message = f"{_tried(attempts)} Last: {last.backend}: {last.message or last.failure}"
    kind, code = _summary(attempts)
    if kind is ModelNotFound:
        message = f"The model '{model}' is no longer served by any backend. {message}"
    waiting = kind in (RateLimited, ServiceUnavailable)
    headers = _retry_after([_wait_of(attempt) for attempt in attempts]) if waiting else ()
    param = "model" if kind is ModelNotFound else None
    return kind(message, param=param, code=code, context=context, headers=headers)


def _summary(attempts: Sequence[Attempt]) -> tuple[type[RequestError], str | None]:
    last = attempts[-1].failure
    kinds = {attempt.failure for attempt in attempts}
    rows: tuple[tuple[bool, type[RequestError], str | None], ...] = (
        (kinds == {FailureKind.UNKNOWN_MODEL}, ModelNotFound, None),
        (all(attempt.status == 429 for attempt in attempts), RateLimited, None),
        (bool(kinds & _WAITING), ServiceUnavailable, None),
        (bool(kinds & _KEYS), BadGateway, "backend_credentials"),
        (last is FailureKind.LOOP, LoopDetected, None),
        (last in _TIMEOUTS, GatewayTimeout, None),
    )
    return next(((error, code) for applies, error, code in rows if applies), (BadGateway, None))


def nobody_qualifies(refusal: Refusal, snapshot: Snapshot) -> RequestError:
    """Explain a refusal of the router.

    Args:
        refusal: what it said.
        snapshot: what it saw.

    Returns:
        404 for a name that no backend has had (with the nearest names), else 503 whose context
        says for each backend which rule excluded it and what would help. While a backend has not
        been checked yet, an unknown name is 503 too: that backend may have it.
    """
    unchecked = [b.name for b in snapshot.backends.values() if b.status is BackendStatus.UNKNOWN]
    if not refusal.known and unchecked:
        return ServiceUnavailable(
            f"No backend is known to have '{refusal.requested}' yet: {len(unchecked)} of "
            f"{len(snapshot.backends)} backends have not been checked. Try again in a moment.",
            context={"unchecked": unchecked[:_REJECTIONS_SHOWN]},
            headers=(("Retry-After", "1"),),
        )
    if not refusal.known:
        hint = f" Did you mean {_either(refusal.nearest)}?" if refusal.nearest else ""
        return ModelNotFound(
            f"The model '{refusal.requested}' does not exist on any backend.{hint} "
            "GET /v1/models lists what is served.",
            param="model",
            context={"nearest": list(refusal.nearest)} if refusal.nearest else None,
        )
    if not refusal.rejections:
        return ServiceUnavailable(
            f"No backend offers '{refusal.requested}' now: those that had it are gone or do not list it any "
            "more. Start its server again; GET /v1/models lists what is served.",
            context={"rejections": []},
        )
    rows = [
        {
            "backend": backend,
            "model": model,
            "code": rejection.code,
            "message": quote(rejection.message),
            "waiting_may_help": rejection.kind is RejectionKind.TRANSIENT,
        }
        for backend, model, rejection in refusal.rejections[:_REJECTIONS_SHOWN]
    ]
    reasons = "; ".join(f"{row['backend']}: {row['message']}" for row in rows[:3])
    more = f" (and {len(refusal.rejections) - 3} more)" if len(refusal.rejections) > 3 else ""
    return ServiceUnavailable(
        f"No backend can serve '{refusal.requested}' now. {reasons}{more}",
        context={"rejections": rows},
        headers=_retry_after([refusal.retry_after, _soon(refusal)]),
    )


def _soon(refusal: Refusal) -> float | None:
    """Seconds after which to ask again where waiting may help and nobody knows how long."""
    codes = {row.code for _, _, row in refusal.rejections if row.kind is RejectionKind.TRANSIENT}
    untimed = codes - _TIMED if refusal.retry_after is not None else codes
    return BUSY_SECONDS if untimed else None


def _wait_of(attempt: Attempt) -> float | None:
    """Seconds that the backend asked for; one that merely says that it is busy gets the usual pause."""
    if attempt.retry_after is None and attempt.failure in _WAITING:
        return BUSY_SECONDS
    return attempt.retry_after


def _row(attempt: Attempt) -> dict[str, Any]:
    return {"backend": attempt.backend, "status": attempt.status, "cause": str(attempt.failure)}


def _tried(attempts: Sequence[Attempt]) -> str:
    if len(attempts) == 1:
        return "The only backend tried failed."
    return f"All {len(attempts)} backends tried failed."


def _either(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _retry_after(seconds: Sequence[float | None]) -> tuple[tuple[str, str], ...]:
    known = [second for second in seconds if second is not None]
    return (("Retry-After", str(max(1, math.ceil(min(known))))),) if known else ()
