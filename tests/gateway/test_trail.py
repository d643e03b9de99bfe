"""What a request leaves behind, through real sockets."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus import testing
from nexus.domain import Explanation
from nexus.routing import explain
from nexus.testing import FakeFleet, FakeModel


def explanations(gateway: RunningGateway) -> list[Explanation]:
    kept = next(gateway.nexus.observed.history.newest_first())
    return [explain(decided) for decided in kept.trail.decisions]


async def test_every_attempt_has_its_decision(fleet: FakeFleet, start: Serve) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    good = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(bad, good, **{bad.name: "priority = 1"}))
    bad.always(testing.Reset())
    await gateway.chat()
    outcome = await gateway.outcome()
    first, second = explanations(gateway)
    assert [(one.backend, one.chosen) for one in first.candidates] == [(bad.name, True), (good.name, False)]
    assert [(one.backend, one.chosen, one.tried) for one in second.candidates] == [
        (good.name, True, False),
        (bad.name, False, True),
    ]
    assert outcome.resolved_model == "m"
    assert 0 < outcome.decision_seconds <= outcome.seconds
    assert outcome.attempts[0].began < outcome.attempts[1].began
    assert outcome.overhead_seconds is not None
    assert outcome.overhead_seconds + outcome.attempts[0].seconds <= outcome.seconds


@pytest.mark.parametrize("stream", [False, True])
async def test_overhead_is_what_the_backend_did_not_take(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    slow = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(slow))
    slow.always(testing.Delay(0.2))
    await gateway.chat(stream=stream)
    outcome = await gateway.outcome()
    assert outcome.overhead_seconds is not None
    assert 0 < outcome.overhead_seconds < outcome.seconds - 0.15


async def test_a_streams_pace_and_deltas_are_counted(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    backend.always(testing.Drip(bytes_per_write=300, interval=0.001))
    reply = await gateway.chat(stream=True)
    outcome = await gateway.outcome()
    assert outcome.gaps is not None
    assert sum(outcome.gaps.counts) >= 2
    assert 0 < outcome.gaps.seconds < outcome.seconds
    said = [event for event in reply.events if '"content":"' in event and '"content":""' not in event]
    assert outcome.delta_events == len(said)


async def test_a_rule_that_excludes_is_named_with_its_policy(fleet: FakeFleet, start: Serve) -> None:
    plain = await fleet.add("llamacpp", models=[FakeModel("m", vision=False)])
    gateway = await start(backend_toml(plain))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    reply = await gateway.chat(messages=[{"role": "user", "content": [image]}])
    assert reply.status == 503
    outcome = await gateway.outcome()
    assert outcome.rejected_by == ("vision",)
    (told,) = explanations(gateway)
    assert told.refusal
    assert [one.policy for one in told.candidates[0].rejections] == ["vision"]


async def test_names_that_clients_make_up_resolve_to_nothing(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend) + '\n[routing.aliases]\n"gpt-*" = "m"\n')
    await gateway.chat("nobody-has-it")
    assert (await gateway.outcome()).resolved_model == ""
    await gateway.chat("gpt-anything")
    assert (await gateway.outcome(2)).resolved_model == "m"


async def test_what_is_remembered_takes_no_more_than_is_said(fleet: FakeFleet, start: Serve) -> None:
    backends = [await fleet.add("vllm", models=[FakeModel("m")]) for _ in range(3)]
    gateway = await start(backend_toml(*backends))
    registry, history = gateway.nexus.registry, gateway.nexus.observed.history
    ids = list(registry.snapshot.backends)
    gateway.nexus.exchanges._publish = gateway.nexus.observed.publish
    await gateway.chat()
    tracemalloc.start()
    before, said = tracemalloc.get_traced_memory()[0], history.size
    for number in range(100):
        # The worst case: a fleet that changes with every request.
        registry.update(ids[number % 3], reason=f"round {number}")
        await gateway.chat()
    await gateway.until(lambda: len(history) == 101)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken <= history.size - said


async def test_names_that_clients_make_up_are_weighed(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend) + '\n[routing.aliases]\n"gpt-*" = "m"\n')
    history = gateway.nexus.observed.history
    for _ in range(3):
        assert (await gateway.chat("gpt-" + 100_000 * "x")).status == 200
    await gateway.outcome(3)
    assert history.size > 3 * 100_000
