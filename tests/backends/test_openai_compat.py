"""What every adapter makes of refusals, silence and nonsense."""

from __future__ import annotations

import pytest
from tests.backends.replies import (
    HEALTHY,
    LOADING,
    NOT_FOUND,
    REFUSED,
    UNAUTHORIZED,
    UNHEALTHY,
    ScriptedProbe,
    poll,
    synthetic,
)

from nexus.backends import ADAPTERS
from nexus.domain import BackendStatus, BackendType
from nexus.errors import FirstByteTimeout


def test_every_type_has_an_adapter() -> None:
    assert set(ADAPTERS) == set(BackendType)
    assert all(adapter.type is kind for kind, adapter in ADAPTERS.items())


@pytest.mark.parametrize("kind", BackendType)
async def test_an_unreachable_server_is_unhealthy_with_the_reason(kind: BackendType) -> None:
    report = await poll(kind, ScriptedProbe({}, REFUSED))
    assert (report.status, report.reason, report.models) == (UNHEALTHY, "connection refused", None)


@pytest.mark.parametrize("kind", BackendType)
async def test_a_server_that_stalls_is_unhealthy_even_when_the_error_is_wordless(kind: BackendType) -> None:
    report = await poll(kind, ScriptedProbe({}, FirstByteTimeout()))
    assert (report.status, report.reason) == (UNHEALTHY, "FirstByteTimeout")


@pytest.mark.parametrize("kind", BackendType)
@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (
            synthetic({"error": {"message": "Incorrect API key provided"}}, 401),
            UNAUTHORIZED,
            "Incorrect API key",
        ),
        (synthetic({"error": "Unauthorized"}, 401), UNAUTHORIZED, "refuses the credentials (401)"),
        (synthetic({"detail": "no"}, 403), UNAUTHORIZED, "(403)"),
        (synthetic(b"", 403), UNAUTHORIZED, "`Host: localhost:11434`"),
        (synthetic(b"", 402), UNAUTHORIZED, "billing"),
        (synthetic(b"", 301, Location="https://other/v1/models"), UNHEALTHY, "redirects (301) to"),
        (synthetic({"error": {"message": "loop"}}, 508), UNHEALTHY, "leads back to this gateway"),
        (synthetic(b"<html><title>Bad Gateway</title></html>", 502), UNHEALTHY, "answered 502: Bad Gateway"),
    ],
)
async def test_refusals_are_told_apart(
    kind: BackendType, reply: object, status: BackendStatus, words: str
) -> None:
    report = await poll(kind, ScriptedProbe({}, reply))  # type: ignore[arg-type]  # parametrised
    assert report.status is status
    assert words in report.reason
    assert report.models is None


async def test_the_operator_sees_where_a_redirect_points_but_no_password() -> None:
    moved = synthetic(b"", 308, Location="https://user:pw@gpu.lan/v1/models")
    report = await poll(BackendType.GENERIC, ScriptedProbe({}, moved))
    assert report.reason == "redirects (308) to https://gpu.lan/v1/models: correct its `url`"


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (synthetic({"error": {"message": "slow down"}}, 429), HEALTHY),
        (synthetic({"error": "x"}, 503), UNHEALTHY),
        (synthetic({"error": "x"}, 503, Retry_After="5"), LOADING),
        (synthetic({"status": "starting"}, 503), LOADING),
        (synthetic({"error": "y", "loading": {"state": "loading", "progress": 0.5}}, 503), LOADING),
        (NOT_FOUND, UNHEALTHY),
        (synthetic({"object": "list"}), UNHEALTHY),
        (synthetic({"error": "broken"}), UNHEALTHY),
        (synthetic(b"Ollama is running"), UNHEALTHY),
        (synthetic({"data": None}), HEALTHY),
        (synthetic([{"id": "m"}]), HEALTHY),
    ],
    ids=str,
)
async def test_generic_statuses(reply: object, status: BackendStatus) -> None:
    report = await poll(BackendType.GENERIC, ScriptedProbe({"/v1/models": reply}))  # type: ignore[dict-item]
    assert report.status is status
    assert report.reason or status is HEALTHY
    assert "is the path of its `url` right?" in report.reason or reply is not NOT_FOUND
