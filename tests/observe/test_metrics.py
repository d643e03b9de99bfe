"""What is counted of an outcome, as the scrape page says it."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Attempt, FailureKind, Outcome
from nexus.observe.metrics import DURATION_BUCKETS, FIRST_BYTE_BUCKETS, RequestMetrics

FAILED = Attempt("old", "old-id", "m", FailureKind.RESET)
SERVED = Attempt("gpu", "gpu-id", "m")
WHERE = 'backend="gpu",model="m"'


def outcome(*attempts: Attempt, **fields: object) -> Outcome:
    served = Outcome("r-1", "chat", "asked", "m", "gpu", "vllm", 200, attempts=attempts)
    return msgspec.structs.replace(served, **fields)


def scraped(*outcomes: Outcome) -> dict[str, float]:
    metrics = RequestMetrics(list)
    for each in outcomes:
        metrics.observe(each)
    lines = metrics.render("")[1].decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_attempts_are_counted_by_how_they_ended() -> None:
    rows = scraped(outcome(SERVED), outcome(FAILED, SERVED), outcome(FAILED, FAILED), outcome())
    attempts = {name: value for name, value in rows.items() if name.startswith("nexus_attempts_total")}
    assert attempts == {
        'nexus_attempts_total{backend="gpu",outcome="success"}': 2,
        'nexus_attempts_total{backend="old",outcome="reset"}': 3,
    }


def test_requests_are_counted_by_status_and_what_clients_make_up_is_one() -> None:
    unknown = [
        outcome(model=name, served_model="", backend="", status=404, client_closed=True) for name in "abc"
    ]
    rows = scraped(outcome(), outcome(), outcome(status=500), *unknown)
    assert rows[f'nexus_requests_total{{{WHERE},status="200"}}'] == 2
    assert rows[f'nexus_requests_total{{{WHERE},status="500"}}'] == 1
    assert rows['nexus_requests_total{backend="",model="unknown",status="404"}'] == 3
    assert rows["nexus_client_disconnects_total"] == 3


@given(st.lists(st.tuples(st.floats(0, 1000), st.none() | st.floats(0, 100)), max_size=20))
def test_buckets_are_cumulative(samples: list[tuple[float, float | None]]) -> None:
    rows = scraped(
        *(outcome(seconds=seconds, first_byte_seconds=first_byte) for seconds, first_byte in samples)
    )
    measured = [first_byte for _, first_byte in samples if first_byte is not None]
    for name, bounds, values in (
        ("nexus_request_duration_seconds", DURATION_BUCKETS, [seconds for seconds, _ in samples]),
        ("nexus_time_to_first_byte_seconds", FIRST_BYTE_BUCKETS, measured),
    ):
        if samples:
            for bound in bounds:
                row = rows[f'{name}_bucket{{backend="gpu",le="{bound}",model="m"}}']
                assert row == sum(value <= bound for value in values)
            assert rows[f"{name}_count{{{WHERE}}}"] == len(values)
            assert abs(rows[f"{name}_sum{{{WHERE}}}"] - sum(values)) <= 1e-9 * sum(values)
