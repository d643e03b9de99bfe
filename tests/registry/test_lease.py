from __future__ import annotations

import pytest
from tests.registry.fleet import ManualClock, add, model, pair, registry

from nexus.domain import BackendStatus, FailureKind, Usage
from nexus.registry.lease import NOT_THE_BACKENDS


def test_a_lease_counts_in_flight_and_leaves_a_record() -> None:
    clock = ManualClock()
    target = registry(clock)
    add(target, "a")
    candidate = pair(target, "a")
    with target.lease(candidate) as lease:
        assert (candidate.load.in_flight, candidate.stats.in_flight) == (1, 1)
        lease.sent = True
        clock.time += 0.5
        lease.first_byte_at = clock.now()
        lease.status = 200
        clock.time += 1.5
    assert (candidate.load.in_flight, candidate.stats.in_flight) == (0, 0)
    assert (candidate.load.attempts, candidate.stats.attempts) == (1, 1)
    attempt = lease.attempt
    assert (attempt.backend, attempt.backend_id, attempt.model) == ("a", "a", "native/llama3")
    assert (attempt.failure, attempt.status, attempt.sent) == (None, 200, True)
    assert attempt.first_byte_seconds == pytest.approx(0.5)
    assert attempt.seconds == pytest.approx(2.0)
    assert candidate.stats.first_byte == pytest.approx(0.5)


def test_the_time_to_first_byte_of_a_failure_is_not_learned() -> None:
    clock = ManualClock()
    target = registry(clock)
    add(target, "a")
    candidate = pair(target, "a")
    for kind in (FailureKind.UPSTREAM_CLOSED, FailureKind.CLIENT_CLOSED):
        with target.lease(candidate) as lease:
            lease.first_byte_at = clock.now()
            lease.fail(kind, status=200, message="cut")
            lease.fail(FailureKind.SERVER_ERROR, message="later")
        assert (lease.attempt.failure, lease.attempt.message) == (kind, "cut")
    assert candidate.stats.first_byte is None
    assert candidate.load.failures == candidate.stats.failures == {FailureKind.UPSTREAM_CLOSED: 1}


@pytest.mark.parametrize("kind", sorted(NOT_THE_BACKENDS))
def test_a_client_never_fails_a_backend(kind: FailureKind) -> None:
    target = registry()
    add(target, "a")
    candidate = pair(target, "a")
    with target.lease(candidate) as lease:
        lease.fail(kind)
    assert not candidate.load.failures
    assert not candidate.stats.failures
    assert lease.attempt.failure is kind


def test_an_exception_ends_the_lease_as_cancelled() -> None:
    target = registry()
    add(target, "a")
    candidate = pair(target, "a")
    lease = target.lease(candidate)

    def tear() -> None:
        with lease:
            raise KeyError("x")

    with pytest.raises(KeyError):
        tear()
    assert lease.attempt.failure is FailureKind.CANCELLED
    assert candidate.load.in_flight == 0
    assert not candidate.load.failures


def test_a_lease_is_entered_once() -> None:
    target = registry()
    add(target, "a")
    lease = target.lease(pair(target, "a"))
    with lease, pytest.raises(RuntimeError, match="once"):
        lease.__enter__()
    assert pair(target, "a").load.in_flight == 0


def test_usage_teaches_speed_and_ratio() -> None:
    clock = ManualClock()
    target = registry(clock)
    add(target, "a")
    candidate = pair(target, "a")
    for streamed in (True, False):
        with target.lease(candidate) as lease:
            clock.time += 1.0
            lease.first_byte_at = clock.now()
            clock.time += 4.0 if streamed else 0.0
            lease.tokens(Usage(prompt_tokens=1000, completion_tokens=200), text_bytes=4000)
    assert candidate.stats.tokens_per_second == pytest.approx(50 + 0.2 * (200 - 50))
    assert (candidate.stats.ratio.count, candidate.stats.ratio.mean) == (2, 4.0)


def test_a_lease_that_ends_after_the_removal_neither_fails_nor_brings_back() -> None:
    target = registry()
    add(target, "a")
    candidate = pair(target, "a")
    with target.lease(candidate):
        target.remove("a")
        add(target, "a")
        assert pair(target, "a").load.in_flight == 0
    assert candidate.load.in_flight == 0
    assert pair(target, "a").load.in_flight == 0
    assert pair(target, "a").load is not candidate.load


def test_counters_survive_changes_while_a_lease_is_open() -> None:
    target = registry()
    add(target, "a")
    old = pair(target, "a")
    with target.lease(old):
        target.update("a", status=BackendStatus.UNHEALTHY, reason="down")
        target.update("a", models=())
        target.update("a", status=BackendStatus.HEALTHY, models=(model("llama3"), model("other")))
        new = pair(target, "a")
        assert new is not old
        assert (new.load.in_flight, new.stats.in_flight) == (1, 1)
    assert (new.load.in_flight, new.stats.in_flight) == (0, 0)


def test_counters_of_a_model_that_left_are_dropped() -> None:
    target = registry()
    add(target, "a")
    old = pair(target, "a")
    with target.lease(old):
        pass
    target.update("a", models=())
    target.update("a", models=(model("llama3"),))
    assert pair(target, "a").stats is not old.stats
    assert pair(target, "a").load is old.load
