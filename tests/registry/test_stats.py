from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Usage
from nexus.registry.stats import BUSY_CAP_SECONDS, PairStats, TokenRatio


def test_moving_averages_take_the_first_sample_whole() -> None:
    stats = PairStats()
    stats.succeeded(3.0, 5.0, Usage(None, 20))
    assert (stats.first_byte, stats.tokens_per_second) == (3.0, 10.0)
    stats.succeeded(8.0, 8.1, Usage(None, 81))
    assert stats.first_byte == pytest.approx(4.0)
    assert stats.tokens_per_second == pytest.approx(10.0), "a reply in one piece counts as a whole"
    stats.succeeded(None, 0.0, Usage(7, 20))
    stats.succeeded(None, 1.0, Usage(7, None))
    assert stats.tokens_per_second == pytest.approx(10.0)


@pytest.mark.parametrize(("asked", "seconds"), [(7.5, 7.5), (0.0, 0.0), (-3.0, 0.0), (3600.0, 60.0)])
def test_busy_for_as_long_as_asked_up_to_a_minute(asked: float, seconds: float) -> None:
    stats = PairStats()
    stats.busy(100.0, asked, loading=False)
    assert stats.busy_until == 100.0 + seconds


def test_being_up_ends_only_the_wait_for_loading() -> None:
    stats = PairStats()
    stats.busy(100.0, 30, loading=True)
    stats.loaded()
    assert (stats.busy_until, stats.busy_streak, stats.busy_loading) == (0.0, 0, False)
    stats.busy(100.0, 30, loading=False)
    stats.loaded()
    assert stats.busy_until == 130.0


def test_busy_without_a_time_doubles_up_to_a_minute_and_starts_again_after_a_success() -> None:
    stats, now, waits = PairStats(), 100.0, []
    for _ in range(8):
        stats.busy(now, None, loading=False)
        waits.append(stats.busy_until - now)
        now = stats.busy_until
    assert waits == [2, 4, 8, 16, 32, 60, 60, BUSY_CAP_SECONDS]
    stats.succeeded(None)
    stats.busy(now, None, loading=True)
    assert stats.busy_until - now == 2
    assert stats.busy_loading


def test_a_burst_of_refusals_is_one_refusal() -> None:
    stats = PairStats()
    for _ in range(50):
        stats.busy(100.0, None, loading=False)
    assert stats.busy_until == 102.0


def test_a_shorter_wish_does_not_cut_a_longer_one() -> None:
    stats = PairStats()
    stats.busy(100.0, 30, loading=False)
    stats.busy(100.0, 1, loading=False)
    assert stats.busy_until == 130.0


def test_resting_is_brief_and_says_why() -> None:
    stats = PairStats()
    stats.rest(100.0, "HTTP 500")
    assert (stats.resting_until, stats.rest_cause) == (105.0, "HTTP 500")


def test_ratio_speaks_after_twenty_samples_of_long_prompts() -> None:
    ratio = TokenRatio()
    for _ in range(30):
        ratio.observe(100, 40)
        ratio.observe(9000, 0)
    assert ratio.count == 0
    for _ in range(19):
        ratio.observe(9000, 1000)
    assert ratio.lower_bound() is None
    ratio.observe(9000, 1000)
    assert ratio.lower_bound() == pytest.approx(9.0)
    assert ratio.variance == pytest.approx(0.0)
    assert ratio.least_tokens(9000) == pytest.approx(1000)


def test_ratio_learned_from_dense_text_does_not_tighten_the_default() -> None:
    ratio = TokenRatio()
    for _ in range(100):
        ratio.observe(30_000, 20_000)
    assert ratio.lower_bound() == pytest.approx(1.5)
    assert ratio.least_tokens(6000) == pytest.approx(1000)


@given(st.lists(st.floats(0.5, 12.0), max_size=40), st.integers(1, 1_000_000))
def test_ratio_never_overestimates_a_prompt_like_any_that_was_seen(
    seen: list[float], text_bytes: int
) -> None:
    ratio = TokenRatio()
    for value in seen:
        ratio.observe(1_000_000, round(1_000_000 / value))
    learned = seen if len(seen) >= 20 else []
    sparsest = max([6.0, *learned])
    assert ratio.least_tokens(text_bytes) <= text_bytes / sparsest * 1.0001


@given(st.lists(st.floats(0.1, 100.0), min_size=2, max_size=50))
def test_ratio_variance_is_that_of_the_samples(values: list[float]) -> None:
    ratio = TokenRatio()
    taken = []
    for value in values:
        tokens = round(1_000_000 / value)
        ratio.observe(1_000_000, tokens)
        taken.append(1_000_000 / tokens)
    mean = sum(taken) / len(taken)
    assert ratio.mean == pytest.approx(mean)
    assert ratio.variance == pytest.approx(sum((x - mean) ** 2 for x in taken) / len(taken), abs=1e-6)
