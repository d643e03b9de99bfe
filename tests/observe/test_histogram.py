"""Samples in buckets, as if each had been sorted in by itself."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.observe.histogram import Histogram

BOUNDS = (0.1, 0.25, 1.0, 10.0)
SAMPLES = st.floats(0, 20) | st.sampled_from(BOUNDS)


@given(st.lists(st.lists(SAMPLES, max_size=300), max_size=3))
def test_each_sample_is_in_its_bucket_whenever_one_looks(rounds: list[list[float]]) -> None:
    target, expected, total = Histogram(BOUNDS), [0] * 5, 0.0
    for samples in rounds:
        for sample in samples:
            target.add(sample)
            expected[bisect_left(BOUNDS, sample)] += 1
            total += sample
        assert bool(target) is any(expected)
        assert target.counts == expected
        assert target.total == pytest.approx(total)
    target.merge([1, 0, 0, 0, 2], 60.0)
    assert target.buckets()[-1] == ("+Inf", float(sum(expected) + 3))
    assert target.buckets()[0] == ("0.1", float(expected[0] + 1))
    assert target.total == pytest.approx(total + 60.0)
