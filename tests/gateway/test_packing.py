"""What is remembered of a request is what it was, whatever backends and clients had put into it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.gateway import Serve, backend_toml

from nexus import testing
from nexus.domain import Attempt, FailureKind, Gaps, Outcome, Requirements, RouteReason, Usage
from nexus.gateway.packing import TrailPacking
from nexus.gateway.trail import Trail
from nexus.routing import explain
from nexus.routing.plan import plan_of
from nexus.routing.policies import POLICIES
from nexus.testing import FakeFleet, FakeModel

texts = st.text(st.characters(exclude_categories=()), max_size=20)
numbers = st.integers(-(2**70), 2**70)
seconds = st.floats(0, 1e9)
maybe_seconds = st.none() | seconds
attempts = st.builds(
    Attempt,
    backend=texts,
    backend_id=texts,
    model=texts,
    failure=st.none() | st.sampled_from(FailureKind),
    status=st.none() | numbers,
    message=texts,
    sent=st.booleans(),
    first_byte_seconds=maybe_seconds,
    seconds=seconds,
    retry_after=maybe_seconds,
    began=seconds,
)
outcomes = st.builds(
    Outcome,
    request_id=texts,
    surface=texts,
    model=texts,
    served_model=texts,
    backend=texts,
    backend_type=texts,
    status=numbers,
    error=texts,
    streamed=st.booleans(),
    attempts=st.lists(attempts, max_size=3).map(tuple),
    route_reason=st.none() | st.sampled_from(RouteReason),
    fallback=st.booleans(),
    usage=st.none()
    | st.builds(Usage, prompt_tokens=st.none() | numbers, completion_tokens=st.none() | numbers),
    started_at=seconds,
    first_byte_seconds=maybe_seconds,
    seconds=seconds,
    bytes_out=numbers,
    client_closed=st.booleans(),
    began=seconds,
    resolved_model=texts,
    delta_events=numbers,
    decision_seconds=seconds,
    overhead_seconds=maybe_seconds,
    gaps=st.none() | st.builds(Gaps, counts=st.lists(numbers, max_size=5), seconds=seconds),
    rejected_by=st.lists(texts, max_size=3).map(tuple),
    traceparent=texts,
)
needs = st.none() | st.builds(
    Requirements,
    surface=texts,
    model=texts,
    stream=st.booleans(),
    text_bytes=numbers,
    images=numbers,
    max_tokens=st.none() | numbers,
    context_above=st.none() | numbers,
    vision=st.booleans(),
    remote_image=st.booleans(),
    audio=st.booleans(),
    tools=st.booleans(),
    json=st.booleans(),
    embeddings=st.booleans(),
    passed=st.lists(texts, max_size=3).map(tuple),
)


@given(outcomes, needs)
def test_what_is_packed_is_unpacked(outcome: Outcome, needed: Requirements | None) -> None:
    trail = Trail()
    trail.needs = needed
    data, sources = TrailPacking().pack(outcome, trail)
    assert outcome.request_id.encode("utf-8", "surrogatepass") in data
    again, told = TrailPacking.unpack(data, sources)
    assert (again, told.needs, told.decisions) == (outcome, needed, [])


async def test_decisions_explain_the_same_when_they_were_packed(fleet: FakeFleet, start: Serve) -> None:
    """Equal ones by chance, the cheapest, a failover, a fallback and a refusal."""
    plain = [await fleet.add("vllm", models=[FakeModel("m")]) for _ in range(3)]
    other = await fleet.add("ollama", models=[FakeModel("other")])
    chains = '\n[routing.fallbacks]\nm = ["other"]\nabsent = ["other"]\n'
    gateway = await start(backend_toml(*plain, other) + chains)
    packing, seen = TrailPacking(), []
    publish = gateway.nexus.exchanges._publish

    def check(outcome: Outcome, trail: Trail) -> None:
        again, told = packing.unpack(*packing.pack(outcome, trail))
        assert again == outcome
        assert told.needs == trail.needs
        assert [explain(one) for one in told.decisions] == [explain(one) for one in trail.decisions]
        seen.extend(trail.decisions)
        publish(outcome, trail)

    gateway.nexus.exchanges._publish = check
    for stream in (False, True, False, True):
        await gateway.chat("m", stream=stream)
    for backend in plain:
        backend.always(testing.Status(500))
    await gateway.chat("m")
    await gateway.chat("absent")
    await gateway.chat("nobody")
    await gateway.outcome(7)
    assert len(seen) >= 9


async def test_requests_of_one_kind_share_their_sources(fleet: FakeFleet, start: Serve) -> None:
    gateway = await start(backend_toml(await fleet.add("vllm", models=[FakeModel("m")])))
    for _ in range(2):
        await gateway.chat("m")
    await gateway.outcome(2)
    first, second = gateway.nexus.observed.history._sources
    assert first is second


async def test_what_a_failover_asked_for_is_not_taken_for_what_others_need(
    fleet: FakeFleet, start: Serve
) -> None:
    gateway = await start(backend_toml(await fleet.add("vllm", models=[FakeModel("m")])))
    asked = Requirements("chat", "m", context_above=2048)
    plan = plan_of(gateway.nexus.registry.snapshot, asked, POLICIES)
    assert plan.needs.context_above is None
