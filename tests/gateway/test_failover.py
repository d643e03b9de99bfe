from __future__ import annotations

import json

import pytest
from tests.support.gateway import Serve, backend_toml

from nexus import testing
from nexus.testing import FakeFleet, FakeModel, Fault, Stage

BEFORE_FIRST_BYTE = [
    testing.Reset(),
    testing.Garbage(),
    testing.BothLengths(),
    testing.ServerError(),
    testing.ErrorBody200(),
    testing.EmptyBody(),
    testing.Busy(),
    testing.Loading(),
    testing.Credentials(),
    testing.Quota(),
    testing.UnknownModel(),
    testing.Redirect(),
    testing.Status(408),
    testing.Status(425),
]


@pytest.mark.parametrize("fault", BEFORE_FIRST_BYTE, ids=lambda fault: fault.kind)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_byte_is_served_by_another(
    fleet: FakeFleet, start: Serve, fault: Fault, stream: bool
) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    good = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(bad, good, **{bad.name: "priority = 1"}))
    bad.always(fault)
    reply = await gateway.chat(stream=stream)
    assert reply.status == 200, reply.body
    assert reply.header("x-nexus-backend") == good.name
    assert reply.header("x-nexus-attempts") == "2"
    assert reply.header("x-nexus-route-reason") == "failover"
    outcome = await gateway.outcome()
    assert [attempt.backend for attempt in outcome.attempts] == [bad.name, good.name]
    assert gateway.at_rest()


@pytest.mark.parametrize(
    "fault",
    [testing.ErrorEventFirst(), testing.CutStream(at_event=0), testing.EndWithoutDone(at_event=0)],
    ids=lambda fault: fault.kind,
)
async def test_a_stream_that_fails_before_its_first_event_is_served_by_another(
    fleet: FakeFleet, start: Serve, fault: Fault
) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    good = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(bad, good, **{bad.name: "priority = 1"}))
    bad.always(fault)
    reply = await gateway.chat(stream=True)
    assert reply.header("x-nexus-backend") == good.name
    assert reply.events[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (testing.CutStream(at_event=2), "upstream_closed"),
        (testing.EndWithoutDone(at_event=2), "upstream_incomplete"),
        (testing.Reset(Stage.BODY, at_byte=300), "upstream_closed"),
    ],
    ids=["cut", "incomplete", "reset"],
)
async def test_a_stream_that_breaks_ends_in_one_typed_event_and_no_done(
    fleet: FakeFleet, start: Serve, fault: Fault, code: str
) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    spare = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(bad, spare, **{bad.name: "priority = 1"}))
    bad.always(fault)
    reply = await gateway.chat(stream=True)
    assert reply.status == 200
    assert reply.complete
    assert "[DONE]" not in reply.events
    assert json.loads(reply.events[-1])["error"]["code"] == code
    assert sum('"error"' in event for event in reply.events) == 1
    assert not [request for request in spare.requests if "completions" in request.path]
    outcome = await gateway.outcome()
    assert outcome.error == code
    assert outcome.attempts[-1].failure == code


async def test_a_client_error_is_relayed_verbatim_and_not_tried_again(fleet: FakeFleet, start: Serve) -> None:
    first = await fleet.add("vllm", models=[FakeModel("m")])
    other = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(first, other, **{first.name: "priority = 1"}))
    body = b'{"error": {"message": "temperature must be <= 2", "type": "BadRequestError", "code": 400}}'
    first.always(testing.Status(400, body))
    reply = await gateway.chat()
    assert (reply.status, reply.body) == (400, body)
    assert not [request for request in other.requests if "completions" in request.path]
    assert (await gateway.outcome()).attempts[-1].failure == "client_error"


async def test_when_nobody_is_left_the_answer_names_every_attempt(fleet: FakeFleet, start: Serve) -> None:
    backends = [await fleet.add("vllm", models=[FakeModel("m")]) for _ in range(2)]
    gateway = await start(backend_toml(*backends))
    for backend in backends:
        backend.always(testing.ServerError())
    reply = await gateway.chat()
    assert reply.status == 502
    assert reply.error["code"] == "bad_gateway"
    rows = reply.error["context"]["attempts"]
    assert {row["backend"] for row in rows} == {backend.name for backend in backends}
    assert {row["cause"] for row in rows} == {"server_error"}


async def test_a_poison_request_never_empties_the_fleet(fleet: FakeFleet, start: Serve) -> None:
    backends = [await fleet.add("vllm", models=[FakeModel("m")]) for _ in range(3)]
    gateway = await start(backend_toml(*backends))
    for backend in backends:
        backend.policy = lambda request: testing.ServerError() if b"poison" in request.body else None
    for _ in range(100):
        reply = await gateway.chat(user="poison")
        assert reply.status == 502
    assert (await gateway.get("/health")).json["backends"]["healthy"] == 3
    assert (await gateway.chat()).status == 200


async def test_retries_stop_at_the_configured_number(fleet: FakeFleet, start: Serve) -> None:
    backends = [await fleet.add("vllm", models=[FakeModel("m")]) for _ in range(5)]
    gateway = await start("[routing]\nmax_retries = 1\n" + backend_toml(*backends))
    for backend in backends:
        backend.always(testing.ServerError())
    await gateway.chat()
    assert len((await gateway.outcome()).attempts) == 2


async def test_attempts_that_sent_nothing_are_free(fleet: FakeFleet, start: Serve) -> None:
    backends = [await fleet.add("vllm", models=[FakeModel("m")]) for _ in range(5)]
    gateway = await start(
        "[routing]\nmax_retries = 0\n" + backend_toml(*backends, **{backends[-1].name: "priority = 90"})
    )
    for backend in backends[:-1]:
        await backend.kill()
    reply = await gateway.chat()
    assert reply.status == 200
    assert reply.header("x-nexus-backend") == backends[-1].name
