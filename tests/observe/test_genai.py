"""The names of OpenTelemetry's conventions."""

from __future__ import annotations

import pytest

from nexus.domain import Attempt, Outcome, Usage, replace
from nexus.observe.genai import INSTRUMENTS, LABELS, OPERATIONS
from nexus.observe.metrics import RequestMetrics
from nexus.observe.surroundings import Sources
from nexus.protocol.surfaces import SURFACES

STREAM = Outcome(
    "r-1",
    "chat",
    "asked",
    "small",
    "gpu",
    "vllm",
    200,
    streamed=True,
    attempts=(Attempt("gpu", "gpu-id", "native"),),
    usage=Usage(16, 5),
    first_byte_seconds=1.0,
    seconds=3.0,
    resolved_model="big",
)
WHO = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "vllm",
    "gen_ai_request_model": "big",
    "gen_ai_response_model": "small",
}


def samples(metrics: RequestMetrics) -> dict[str, list[dict[str, str]]]:
    """Labels of each histogram's count."""
    return {
        family.name: [one.labels for one in family.samples if one.name.endswith("_count") and one.value]
        for family in metrics.collect()
        if family.name.startswith("gen_ai")
    }


def counted(*outcomes: Outcome) -> dict[str, list[dict[str, str]]]:
    metrics = RequestMetrics(Sources(), genai=True)
    for each in outcomes:
        metrics.observe(each)
    return samples(metrics)


def test_a_stream_with_usage_is_in_all_of_them() -> None:
    assert counted(STREAM) == {
        "gen_ai_server_request_duration": [{**WHO, "error_type": ""}],
        "gen_ai_server_time_to_first_token": [WHO],
        "gen_ai_server_time_per_output_token": [WHO],
        "gen_ai_client_token_usage": [
            {**WHO, "gen_ai_token_type": "input"},
            {**WHO, "gen_ai_token_type": "output"},
        ],
    }


def test_the_time_for_each_token_leaves_out_the_first() -> None:
    metrics = RequestMetrics(Sources(), genai=True)
    metrics.observe(STREAM)
    text = b"".join(metrics.render("")[1]).decode()
    line = next(
        line for line in text.splitlines() if line.startswith("gen_ai_server_time_per_output_token_sum")
    )
    assert float(line.rsplit(" ", 1)[1]) == 0.5


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"streamed": False, "usage": None}, ""),
        ({"error": "upstream_closed", "usage": None}, "upstream_closed"),
        ({"error": "client_closed", "client_closed": True, "usage": None}, "client_closed"),
    ],
)
def test_what_is_no_good_stream_is_counted_by_its_duration_alone(
    fields: dict[str, object], error: str
) -> None:
    found = counted(replace(STREAM, delta_events=9, **fields))
    assert found.pop("gen_ai_server_request_duration") == [{**WHO, "error_type": error}]
    assert not any(found.values())


def test_what_nobody_was_asked_to_serve_is_left_out() -> None:
    refused = Outcome("r-1", "chat", "made-up", status=404, error="model_not_found")
    assert not any(counted(refused, replace(STREAM, surface="count_tokens")).values())


def test_every_surface_that_generates_has_an_operation() -> None:
    assert set(SURFACES) - set(OPERATIONS) == {"count_tokens"}


def test_it_is_off_unless_asked_for_and_can_be_switched_while_nexus_runs() -> None:
    metrics = RequestMetrics(Sources(), max_series=200)
    metrics.observe(STREAM)
    assert samples(metrics) == {}
    used = metrics._bound.used
    for _ in range(5):
        metrics.reconfigure(max_series=200, genai=True)
        metrics.observe(STREAM)
        assert len(samples(metrics)["gen_ai_server_request_duration"]) == 1
        metrics.reconfigure(max_series=200, genai=False)
        assert samples(metrics) == {}
        assert metrics._bound.used == used


def test_what_is_beyond_the_bound_is_other() -> None:
    metrics = RequestMetrics(Sources(), max_series=60, genai=True)
    metrics.observe(STREAM)
    others = dict.fromkeys((*LABELS, "error_type"), "other")
    assert samples(metrics)["gen_ai_server_request_duration"][0] in (others, {**WHO, "error_type": ""})
    assert others.items() >= samples(metrics)["gen_ai_server_time_to_first_token"][0].items()


def test_the_names_and_buckets_are_those_of_the_convention() -> None:
    assert {each.name: (each.bounds[0], each.bounds[-1], len(each.bounds)) for each in INSTRUMENTS} == {
        "gen_ai_server_request_duration": (0.01, 81.92, 14),
        "gen_ai_server_time_to_first_token": (0.001, 10.0, 16),
        "gen_ai_server_time_per_output_token": (0.01, 2.5, 13),
        "gen_ai_client_token_usage": (1.0, 67108864.0, 14),
    }
