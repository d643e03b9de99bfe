"""Only backends in rotation, and pairs that did not ask to be left alone."""

from __future__ import annotations

from typing import Final

from nexus.domain import BackendStatus, Rejection, Requirements
from nexus.registry import Candidate
from nexus.routing.policies.base import JudgeContext, final, transient

_HELP: Final = {
    BackendStatus.UNKNOWN: "wait for its first check",
    BackendStatus.LOADING: "it serves once the model is loaded",
    BackendStatus.UNHEALTHY: "start it or correct its `url`; it is checked again by itself",
}


class Availability:
    """Status, draining, the rule on backends with a key, and ``Retry-After``."""

    name = "availability"

    def applies(self, requirements: Requirements) -> bool:  # noqa: ARG002 - it always applies
        """Return ``True``."""
        return True

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:
        """Reject what is out of rotation or busy."""
        if not candidate.in_rotation:
            return _out_of_rotation(candidate)
        stats = candidate.stats
        if stats.busy_until <= context.now:
            return None
        seconds = stats.busy_until - context.now
        if stats.busy_loading:
            return transient(
                "loading", f"{_name(candidate)} is loading {candidate.key!r}; try again in {seconds:.0f} s."
            )
        return transient(
            "busy",
            f"{_name(candidate)} asked to be left alone for {seconds:.0f} s; "
            "wait, or add a backend that serves this model.",
        )


def _out_of_rotation(candidate: Candidate) -> Rejection:
    backend = candidate.backend
    name = _name(candidate)
    if backend.draining:
        return transient("draining", f"{name} is draining and takes no new requests; end its drain.")
    status = backend.status
    because = f" ({backend.reason})" if backend.reason else ""
    if status is BackendStatus.UNAUTHORIZED:
        return final(
            "unauthorized",
            f"{name} refuses Nexus's key{because}; correct the variable that its `api_key_env` names.",
        )
    if status is BackendStatus.HEALTHY:
        return final(
            "keyed_backend",
            f"{name} has a key of its own and this server is open to the network without client keys; "
            "set `api_keys_env` under [server], or `allow_anonymous_cloud`.",
        )
    return transient(status.value, f"{name} is {status.value}{because}; {_HELP[status]}.")


def _name(candidate: Candidate) -> str:
    return f"Backend {candidate.backend.spec.name!r}"


POLICY: Final = Availability()
