from __future__ import annotations

from typing import Any

import pytest

from nexus.cli.because import because, forecast, headline


def candidate(backend: str, rank: int | None = 1, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    terms = {"priority": 25.0, "load": 30.0, "latency": 20.0}
    figures = {"in_flight": 0, "slots": 4, "priority": 50, "first_byte_seconds": 0.25}
    return {"backend": backend, "rank": rank, "chosen": rank == 1, "terms": terms, **figures, **more}


def decision(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    return {"strategy": "smart", "model": "m", "chain": ["m"], "candidates": list(candidates), **more}


SLOWER = {"terms": {"priority": 25.0, "load": 30.0, "latency": 5.0}, "first_byte_seconds": 1.5}
BUSIER = {"terms": {"priority": 25.0, "load": 15.0, "latency": 20.0}, "in_flight": 2}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (decision(candidate("a")), "nobody else has the model"),
        (decision(candidate("a"), candidate("b", None)), "it was the only one of 2 that could serve it"),
        (decision(candidate("a"), candidate("b", 2)), "it was as good as b, and chance decided"),
        (
            decision(candidate("a"), candidate("b", 2, **SLOWER)),
            "it answers sooner (first byte 250 ms, b 1.50 s)",
        ),
        (decision(candidate("a"), candidate("b", 2, **BUSIER)), "it was less busy (0/4 in flight, b 2/4)"),
        (decision(candidate("a"), candidate("b", 2, resting=True)), "b, the next best, had failed lately"),
        (
            decision(candidate("a"), candidate("b", 2, unsure=True)),
            "it is known to do all that is needed, and b is not",
        ),
        (
            decision(candidate("a"), candidate("b", 2), strategy="round_robin"),
            "the strategy round_robin put it first of those that could",
        ),
        (decision(candidate("a"), candidate("b", 2), pinned=True), "the request names it"),
        (
            decision(candidate("a"), fallback=True, chain=["big", "m"]),
            "big could not be served, m stands in, and nobody else has the model",
        ),
    ],
)
def test_what_set_the_chosen_one_apart(told: dict[str, Any], why: str) -> None:
    assert because(told) == why


def request(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    return {"status": 200, "error": "", "backend": "a", "decisions": [decision(candidate("a"))], **more}


TRY = {"backend": "b", "failure": "reset"}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (request(), "a answered, because nobody else has the model."),
        (
            request(tries=[TRY, {"backend": "a", "failure": None}]),
            "a answered after b (reset) had failed, because nobody else has the model.",
        ),
        (request(error="upstream_closed"), "a began to answer and broke off: upstream_closed."),
        (request(client_closed=True, status=499), "The client left before a had answered."),
        (
            request(status=400, backend="b", tries=[{"backend": "b", "failure": None, "status": 400}]),
            "b was asked and did not serve it (it answered 400). The client got 400.",
        ),
        (
            request(status=502, error="upstream_error", backend="", tries=[TRY, {**TRY, "backend": "c"}]),
            "Nobody served it: b and c were asked and failed. The client got 502 upstream_error.",
        ),
        (request(running=True, backend="", decisions=[]), "It is being decided now who is asked."),
        (request(running=True, state="waiting"), "a was asked, because nobody else has the model."),
    ],
)
def test_a_request_in_a_sentence(told: dict[str, Any], sentence: str) -> None:
    assert headline(told) == sentence


def test_a_refusal_is_foretold_with_its_reason() -> None:
    assert forecast(decision(refusal="No one.")) == "Nobody could be asked. No one."
