"""An hour of traffic in buckets: nothing lost, nothing without bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Attempt, Outcome, Usage, replace
from nexus.observe.traffic import BUCKET_SECONDS, BUCKETS, OTHER, ROWS_MAX, Traffic, percentile

ANSWERED = Attempt("gpu", "gpu-id", "m", first_byte_seconds=0.1)


def outcome(at: float, **fields: object) -> Outcome:
    plain = Outcome("r", "chat", "m", "m", "gpu", "vllm", 200, attempts=(ANSWERED,), started_at=at)
    return replace(plain, **fields)


@given(st.lists(st.floats(0, 3000), max_size=40))
def test_every_request_is_in_one_bucket_of_its_time(gaps: list[float]) -> None:
    now = 1_700_000_000.0
    target = Traffic(lambda: now)
    for gap in gaps:
        now += gap
        target.observe(outcome(now))
    kept = target.buckets()
    assert target.ended == len(gaps)
    assert sum(row.requests for bucket in kept for row in bucket.rows) <= len(gaps)
    assert [bucket.at for bucket in kept] == sorted({bucket.at for bucket in kept})
    assert len(kept) <= BUCKETS
    recent = 0
    at = now
    for gap in reversed(gaps):
        recent += at >= now - BUCKETS * BUCKET_SECONDS + BUCKET_SECONDS
        at -= gap
    assert sum(row.requests for bucket in kept for row in bucket.rows) >= recent


def test_tokens_are_the_backends_or_the_events() -> None:
    target = Traffic(lambda: 100.0)
    target.observe(outcome(100.0, usage=Usage(7, 5), delta_events=4))
    target.observe(outcome(100.0, delta_events=3))
    target.observe(outcome(100.0, usage=Usage(2, None), delta_events=1))
    (row,) = target.buckets()[0].rows
    assert (row.prompt_tokens, row.completion_tokens) == (9, 9)
    assert target.backends["gpu"].tokens == 9
    assert list(target.backends["gpu"].first_bytes) == [0.1] * 3


def test_names_of_clients_make_no_rows_and_rows_are_bounded() -> None:
    target = Traffic(lambda: 100.0)
    for number in range(ROWS_MAX + 50):
        target.observe(outcome(100.0, model=f"made-up-{number}", served_model="", backend="", status=404))
    (bucket,) = target.buckets()
    assert [(row.model, row.backend, row.errors) for row in bucket.rows] == [("", "", ROWS_MAX + 50)]
    for number in range(ROWS_MAX + 50):
        target.observe(outcome(100.0, served_model=f"m-{number}"))
    (bucket,) = target.buckets()
    assert len(bucket.rows) <= ROWS_MAX + 1
    assert sum(row.requests for row in bucket.rows) == 2 * (ROWS_MAX + 50)
    assert bucket.rows[-1].model == OTHER


def test_a_client_that_left_is_no_error() -> None:
    target = Traffic(lambda: 100.0)
    target.observe(outcome(100.0, status=499, error="client_closed", client_closed=True))
    target.observe(outcome(100.0, error="upstream_closed"))
    target.observe(outcome(100.0, status=400))
    (row,) = target.buckets()[0].rows
    assert (row.requests, row.errors) == (3, 2)


def test_a_bucket_is_finished_when_its_time_is_over() -> None:
    now = 100.0
    target = Traffic(lambda: now)
    target.observe(outcome(100.0))
    assert target.finished(0.0) == []
    now = 111.0
    assert [bucket.at for bucket in target.finished(0.0)] == [100.0]
    assert target.finished(100.0) == []


def test_backends_that_are_gone_are_forgotten() -> None:
    target = Traffic(lambda: 100.0)
    target.observe(outcome(100.0))
    target.keep_only(["other"])
    assert target.backends == {}


def test_totals_are_bounded_while_nobody_looks() -> None:
    target = Traffic(lambda: 100.0)
    for number in range(ROWS_MAX + 5):
        target.observe(outcome(100.0, backend=f"b-{number}"))
    assert len(target.backends) == ROWS_MAX
    assert f"b-{ROWS_MAX + 4}" in target.backends


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0, 1))
def test_a_percentile_is_one_of_the_samples(samples: list[float], share: float) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert percentile(samples, 0.0) == min(samples)
    assert percentile([], share) is None
