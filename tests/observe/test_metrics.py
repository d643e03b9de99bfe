"""What is counted of an outcome, as the scrape page says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nexus.domain import GAP_BUCKETS, Attempt, FailureKind, Gaps, Outcome, Usage, replace
from nexus.observe.histogram import Histogram
from nexus.observe.loop_lag import LAG_BUCKETS
from nexus.observe.metrics import DECISION_BUCKETS, OVERHEAD_BUCKETS, RequestMetrics
from nexus.observe.served import DURATION_BUCKETS, FIRST_BYTE_BUCKETS
from nexus.observe.surroundings import BackendRow, Sources

FAILED = Attempt("old", "old-id", "m", FailureKind.RESET)
SERVED = Attempt("gpu", "gpu-id", "m")
WHERE = 'backend="gpu",model="m"'
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
GAPS = Gaps([1, 0, 2, *([0] * (len(GAP_BUCKETS) - 2))], 0.01)
HOSTILE = 'a"b\\c\nd}\te\r{f="g"} 1\u2028\N{SNOWMAN}'


def outcome(*attempts: Attempt, **fields: object) -> Outcome:
    served = Outcome("r-1", "chat", "asked", "m", "gpu", "vllm", 200, attempts=attempts, resolved_model="m")
    return replace(served, **fields)


def rows_of(metrics: RequestMetrics) -> dict[str, float]:
    lines = b"".join(metrics.render("")[1]).decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def scraped(*outcomes: Outcome) -> dict[str, float]:
    metrics = RequestMetrics(Sources())
    for each in outcomes:
        metrics.observe(each)
    return rows_of(metrics)


def family(rows: dict[str, float], name: str) -> dict[str, float]:
    """The rows of one counter by what stands between its braces."""
    return {
        key.removeprefix(f"{name}{{").rstrip("}"): value
        for key, value in rows.items()
        if key.startswith(f"{name}{{")
    }


def test_attempts_are_counted_by_how_they_ended() -> None:
    rows = scraped(outcome(SERVED), outcome(FAILED, SERVED), outcome(FAILED, FAILED), outcome())
    assert family(rows, "nexus_attempts_total") == {
        'backend="gpu",outcome="success"': 2,
        'backend="old",outcome="reset"': 3,
    }


def test_requests_are_counted_by_status_and_what_clients_make_up_is_one() -> None:
    unknown = [
        outcome(model=name, served_model="", resolved_model="", backend="", status=404) for name in "abc"
    ]
    rows = scraped(outcome(), outcome(), outcome(status=500), *unknown)
    assert rows[f'nexus_requests_total{{{WHERE},status="200"}}'] == 2
    assert rows[f'nexus_requests_total{{{WHERE},status="500"}}'] == 1
    assert rows['nexus_requests_total{backend="",model="unknown",status="404"}'] == 3


def test_a_known_model_that_nobody_served_keeps_its_name() -> None:
    rows = scraped(outcome(served_model="", backend="", status=503, error="service_unavailable"))
    assert rows['nexus_requests_total{backend="",model="m",status="503"}'] == 1
    assert family(rows, "nexus_errors_total") == {'error_type="service_unavailable",model="m"': 1}


def test_errors_are_those_of_nexus_and_those_that_were_relayed_but_not_a_client_that_left() -> None:
    refused = Attempt("gpu", "gpu-id", "m", FailureKind.CLIENT_ERROR, 400)
    broken = Attempt("gpu", "gpu-id", "m", FailureKind.ERROR_EVENT, 200)
    left = Attempt("gpu", "gpu-id", "m", FailureKind.CLIENT_CLOSED)
    rows = scraped(
        outcome(FAILED, SERVED),
        outcome(FAILED, error="bad_gateway", status=502),
        outcome(refused, status=400),
        outcome(broken),
        outcome(status=418),
        outcome(left, error="client_closed", client_closed=True),
        outcome(client_closed=True),
    )
    assert family(rows, "nexus_errors_total") == {
        'error_type="bad_gateway",model="m"': 1,
        'error_type="client_error",model="m"': 1,
        'error_type="error_event",model="m"': 1,
        'error_type="http_error",model="m"': 1,
    }
    assert rows["nexus_client_disconnects_total"] == 2


def test_a_fallback_is_counted_from_the_resolved_name_never_from_the_clients() -> None:
    rows = scraped(outcome(fallback=True, model="GPT 4!", resolved_model="big", served_model="small"))
    assert family(rows, "nexus_fallbacks_total") == {'from_model="big",to_model="small"': 1}


def test_rejections_are_counted_by_policy() -> None:
    rows = scraped(outcome(rejected_by=("vision", "busy", "vision")), outcome(rejected_by=("busy",)))
    assert family(rows, "nexus_rejections_total") == {'policy="busy"': 2, 'policy="vision"': 2}


def test_tokens_are_exact_where_the_backend_counted_and_else_marked_as_estimated() -> None:
    rows = scraped(
        outcome(usage=Usage(10, 4), delta_events=3),
        outcome(usage=Usage(5, None), delta_events=7),
        outcome(delta_events=20),
        outcome(),
    )
    assert family(rows, "nexus_tokens_total") == {
        f'{WHERE},type="prompt"': 15,
        f'{WHERE},type="completion"': 4,
        f'{WHERE},type="completion_estimated"': 27,
    }


def test_gaps_are_added_up() -> None:
    rows = scraped(outcome(gaps=GAPS), outcome(gaps=GAPS), outcome())
    assert rows['nexus_inter_chunk_seconds_bucket{backend="gpu",le="0.001",model="m"}'] == 2
    assert rows['nexus_inter_chunk_seconds_bucket{backend="gpu",le="0.005",model="m"}'] == 6
    assert rows[f"nexus_inter_chunk_seconds_sum{{{WHERE}}}"] == pytest.approx(0.02)
    assert GAPS.counts[0] == 1


@given(st.lists(st.tuples(*[st.floats(0, 1000)] * 2, *[st.none() | st.floats(0, 100)] * 2), max_size=20))
def test_buckets_are_cumulative(
    samples: list[tuple[float, float, float | None, float | None]],
) -> None:
    names = ("seconds", "decision_seconds", "first_byte_seconds", "overhead_seconds")
    rows = scraped(*(outcome(**dict(zip(names, sample, strict=True))) for sample in samples))
    for at, (name, bounds, where) in enumerate(
        (
            ("nexus_request_duration_seconds", DURATION_BUCKETS, WHERE),
            ("nexus_decision_seconds", DECISION_BUCKETS, ""),
            ("nexus_time_to_first_byte_seconds", FIRST_BYTE_BUCKETS, WHERE),
            ("nexus_overhead_seconds", OVERHEAD_BUCKETS, ""),
        )
    ):
        measured = [value for sample in samples if (value := sample[at]) is not None]
        values = [value for value in measured if value or name != "nexus_decision_seconds"]
        if not values:
            continue
        for bound in bounds:
            labels = f'backend="gpu",le="{bound}",model="m"' if where else f'le="{bound}"'
            assert rows[f"{name}_bucket{{{labels}}}"] == sum(value <= bound for value in values)
        end = f"{{{where}}}" if where else ""
        assert rows[f"{name}_count{end}"] == len(values)
        assert rows[f"{name}_sum{end}"] == pytest.approx(sum(values), rel=1e-9)


def test_the_surroundings_are_read_when_scraped() -> None:
    lag = Histogram(LAG_BUCKETS)
    rows = [BackendRow("gpu", "vllm", "static", True, 3), BackendRow("mac", "ollama", "mdns", False, 0)]
    metrics = RequestMetrics(Sources(lambda: rows, lambda: 7, lambda: 2, lag))
    lag.add(0.003)
    told = rows_of(metrics)
    assert family(told, "nexus_backend_up") == {
        'backend="gpu",source="static",type="vllm"': 1,
        'backend="mac",source="mdns",type="ollama"': 0,
    }
    assert told['nexus_in_flight{backend="gpu"}'] == 3
    assert told["nexus_models_available"] == 7
    assert told["nexus_log_lines_dropped_total"] == 2
    assert told['nexus_event_loop_lag_seconds_bucket{le="0.005"}'] == 1
    assert any(key.startswith("nexus_build_info{") for key in told)
    assert any(key.startswith("python_gc_collections_total{") for key in told)


def full(model: str, backend: str) -> RequestMetrics:
    """Metrics that have seen one outcome of every kind, with these names."""
    rows = [BackendRow(backend, "vllm", "static", True, 1)]
    metrics = RequestMetrics(Sources(lambda: rows), genai=True)
    attempts = (Attempt(backend, "id", model, FailureKind.BUSY), Attempt(backend, "id", model))
    metrics.observe(
        outcome(
            *attempts,
            served_model=model,
            resolved_model=model,
            backend=backend,
            fallback=True,
            streamed=True,
            usage=Usage(3, 4),
            gaps=GAPS,
            seconds=2.0,
            first_byte_seconds=0.5,
            decision_seconds=0.00001,
            overhead_seconds=0.0002,
            rejected_by=("busy",),
        )
    )
    metrics.observe(
        outcome(attempts[0], served_model=model, backend=backend, error="bad_gateway", status=502)
    )
    return metrics


@pytest.mark.parametrize("accept", ["", "text/plain; version=1.0.0", OPENMETRICS])
@pytest.mark.parametrize("name", ["m", HOSTILE, "x" * 1000])
def test_both_formats_parse_and_give_hostile_names_back(accept: str, name: str) -> None:
    content_type, pieces = full(name, name).render(accept)
    parse = parse_openmetrics if accept == OPENMETRICS else parse_text
    assert content_type.decode().startswith(accept.partition(";")[0])
    found = {each.name: each for each in parse(b"".join(pieces).decode())}
    for metric, label in (
        ("nexus_requests", "model"),
        ("nexus_attempts", "backend"),
        ("nexus_fallbacks", "to_model"),
        ("nexus_errors", "model"),
        ("nexus_backend_up", "backend"),
        ("nexus_inter_chunk_seconds", "model"),
        ("gen_ai_server_request_duration", "gen_ai_response_model"),
    ):
        assert {sample.labels[label] for sample in found[metric].samples} == {name}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_no_series_is_there_twice_and_their_number_is_told(accept: str) -> None:
    body = b"".join(full("m", "gpu").render(accept)[1]).decode()
    rows = [line.rpartition(" ")[0] for line in body.splitlines() if not line.startswith("#")]
    assert len(rows) == len(set(rows))
    told = next(line for line in body.splitlines() if line.startswith("nexus_metric_series "))
    assert float(told.split()[1]) == len(rows)


def test_series_beyond_the_bound_are_counted_under_other_and_sums_stay_right() -> None:
    metrics = RequestMetrics(Sources(), max_series=100)
    for number in range(200):
        name = f"m{number}"
        metrics.observe(outcome(FAILED, served_model=name, gaps=GAPS, error=f"e{number}", status=number))
    rows = rows_of(metrics)
    requests = family(rows, "nexus_requests_total")
    assert sum(requests.values()) == 200
    assert any('model="other"' in labels for labels in requests)
    assert sum(family(rows, "nexus_errors_total").values()) == 200
    assert (
        sum(value for key, value in rows.items() if key.startswith("nexus_inter_chunk_seconds_count")) == 600
    )
    assert rows["nexus_metric_folded_total"] > 0
    made = [key for key in rows if key.startswith("nexus_") and "{" in key and "other" not in key]
    fixed = [key for key in rows_of(RequestMetrics(Sources())) if key.startswith("nexus_") and "{" in key]
    assert len(set(made) - set(fixed)) <= 100


def test_a_lower_bound_keeps_what_is_there_and_a_higher_one_makes_room() -> None:
    metrics = RequestMetrics(Sources(), max_series=1000)
    metrics.observe(outcome(SERVED))
    metrics.reconfigure(max_series=10, genai=False)
    metrics.observe(outcome(SERVED))
    metrics.observe(outcome(SERVED, served_model="late"))
    metrics.reconfigure(max_series=1000, genai=False)
    metrics.observe(outcome(SERVED, served_model="later"))
    assert family(rows_of(metrics), "nexus_requests_total") == {
        f'{WHERE},status="200"': 2,
        'backend="other",model="other",status="other"': 1,
        'backend="gpu",model="later",status="200"': 1,
    }


def test_a_model_and_a_backend_named_other_meet_what_is_folded() -> None:
    metrics = RequestMetrics(Sources(), max_series=10)
    metrics.observe(outcome(served_model="other", backend="other"))
    metrics.observe(outcome(served_model="one-too-many"))
    assert sum(family(rows_of(metrics), "nexus_requests_total").values()) == 2
