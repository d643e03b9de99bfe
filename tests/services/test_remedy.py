from __future__ import annotations

import pytest

from nexus.backends.base import Report
from nexus.domain import BackendSpec, BackendStatus, DiscoverySource, Origin
from nexus.services.remedy import reason_of

REFUSED = Report(BackendStatus.UNAUTHORIZED, "refuses the credentials (401): Unauthorized.")
ADVICE = "give it one with: nexus backends add http://192.168.1.20:6398 --api-key-env NAME"


def spec(source: DiscoverySource, root: str = "/v1") -> BackendSpec:
    return BackendSpec("a", "a", Origin("http", "192.168.1.20", 6398), api_root=root, source=source)


@pytest.mark.parametrize("source", [DiscoverySource.MDNS, DiscoverySource.PEER, DiscoverySource.LOCAL])
def test_a_found_server_that_wants_a_key_says_how_to_give_it_one(source: DiscoverySource) -> None:
    assert reason_of(spec(source), REFUSED) == (
        f"refuses the credentials (401): Unauthorized; found servers get no key, {ADVICE}"
    )


def test_a_root_of_its_own_is_part_of_the_command() -> None:
    assert " http://192.168.1.20:6398/api/v3 " in reason_of(spec(DiscoverySource.PEER, "/api/v3"), REFUSED)


@pytest.mark.parametrize("source", [DiscoverySource.STATIC, DiscoverySource.MANUAL])
def test_what_somebody_named_with_its_key_is_told_only_what_is_wrong(source: DiscoverySource) -> None:
    assert reason_of(spec(source), REFUSED) == REFUSED.reason


def test_what_no_key_helps_stays_as_it_is() -> None:
    for report in (
        Report(BackendStatus.UNAUTHORIZED, "refuses for billing (402): pay"),
        Report(BackendStatus.UNHEALTHY, "connection refused"),
    ):
        assert reason_of(spec(DiscoverySource.MDNS), report) == report.reason
