"""The client's trace context, and ids of our own."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.observe.tracing import Parent, Trace, read_traceparent

IDS = st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@given(*IDS)
def test_what_the_standard_allows_is_read(trace: int, span: int, flags: int) -> None:
    value = b"00-%032x-%016x-%02x" % (trace, span, flags)
    assert read_traceparent(value) == Parent(trace, span, flags)
    # A later version may have more.
    assert read_traceparent(b"01" + value[2:] + b"-more") == Parent(trace, span, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
    ],
)
def test_what_it_does_not_is_ignored(value: str) -> None:
    assert read_traceparent(value.encode()) is None
    trace = Trace(random.Random(1), {b"traceparent": value.encode(), b"tracestate": b"a=1"})
    assert trace.parent is None
    assert trace.state == b""
    assert trace.replaced == {b"traceparent", b"tracestate"}


@given(st.binary())
def test_no_header_is_an_error(value: bytes) -> None:
    read_traceparent(value)


@given(*IDS, st.booleans())
def test_each_attempt_is_a_parent_of_its_own(trace_id: int, span: int, flags: int, sampled: bool) -> None:
    header = b"00-%032x-%016x-%02x" % (trace_id, span, flags)
    trace = Trace(random.Random(span), {b"traceparent": header})
    trace.sampled = sampled
    told = [read_traceparent(trace.attempt()) for _ in range(3)]
    assert [parent and parent.span_id for parent in told] == trace.attempts
    assert len({span, trace.span_id, *trace.attempts}) == 5
    assert {parent and parent.trace_id for parent in told} == {trace_id}
    assert {parent and parent.flags for parent in told} == {(flags & 2) | sampled}
