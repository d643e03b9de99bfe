"""Only backends in rotation."""

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


class Rotation:
    """Status, draining, and the rule on backends with a key."""

    name = "rotation"

    def applies(self, requirements: Requirements) -> bool:  # noqa: ARG002 - it always applies
        """Return ``True``."""
        return True

    def judge(self, context: JudgeContext, candidate: Candidate) -> Rejection | None:  # noqa: ARG002 - the form of every policy
        """Reject what is out of rotation."""
        return None if candidate.in_rotation else _out_of_rotation(candidate)


def _out_of_rotation(candidate: Candidate) -> Rejection:
    backend = candidate.backend
    name = f"Backend {backend.spec.name!r}"
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


POLICY: Final = Rotation()
