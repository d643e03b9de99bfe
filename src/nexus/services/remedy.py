"""Why a backend is as it is, with what its operator can do about it."""

from __future__ import annotations

from typing import Final

from nexus.backends.base import Report
from nexus.backends.openai_compat import REFUSES_CREDENTIALS
from nexus.domain import BackendSpec, BackendStatus, DiscoverySource
from nexus.protocol.quote import without

_CONFIGURED: Final = frozenset({DiscoverySource.STATIC, DiscoverySource.MANUAL})
_USUAL_ROOT: Final = "/v1"


def reason_of(spec: BackendSpec, report: Report) -> str:
    """Return the reason of ``report``; for a found backend that wants a key, with the command that gives one.

    A server may repeat the key that it was asked with: that is not passed on.

    Args:
        spec: the backend; what is configured or was added has its key, or a place for it, already.
        report: of a check of it.
    """
    wants_key = report.status is BackendStatus.UNAUTHORIZED and report.reason.startswith(REFUSES_CREDENTIALS)
    if not wants_key or spec.source in _CONFIGURED:
        return without(report.reason, spec.secrets)
    root = "" if spec.api_root == _USUAL_ROOT else spec.api_root
    return (
        f"{report.reason.rstrip('.')}; found servers get no key, give it one with: "
        f"nexus backends add {spec.origin}{root} --api-key-env NAME"
    )
