from __future__ import annotations

import pytest
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.gateway.model_list import ModelList
from nexus.testing import FakeBackend, FakeFleet, FakeModel, RecordedRequest


def chats(backend: FakeBackend) -> list[RecordedRequest]:
    return [request for request in backend.requests if request.surface]


async def ways(gateway: RunningGateway, via: str) -> dict[str, list[str]]:
    reply = await gateway.get("/v1/models", **{"X-Nexus-Via": via})
    assert reply.status == 200
    return {row["id"]: row["via"] for row in reply.json["data"]}


@pytest.fixture
async def mixed(fleet: FakeFleet, start: Serve) -> RunningGateway:
    """A gateway over a server of its own and over another gateway, whose id is its name."""
    own = await fleet.add("vllm", models=[FakeModel("own"), FakeModel("both")])
    peer = await fleet.add("nexus", models=[FakeModel("far"), FakeModel("both")], name="peer")
    return await start(backend_toml(own, peer))


async def test_a_gateway_is_told_the_way_and_only_of_ways_not_through_itself(mixed: RunningGateway) -> None:
    us = mixed.nexus.gateway_id
    assert await ways(mixed, "stranger") == {"both": [us], "far": [us, "peer"], "own": [us]}
    assert await ways(mixed, "peer") == {"both": [us], "own": [us]}
    assert await ways(mixed, "stranger, peer") == {"both": [us], "own": [us]}
    for name, via, status in [("far", "peer", 404), ("far", "stranger", 200), ("both", "peer", 200)]:
        assert (await mixed.get(f"/v1/models/{name}", **{"X-Nexus-Via": via})).status == status


async def test_a_client_sees_nothing_of_it(mixed: RunningGateway) -> None:
    data = (await mixed.get("/v1/models")).json["data"]
    assert [row["id"] for row in data] == ["both", "far", "own"]
    assert not any("via" in row for row in data)


async def test_strangers_share_one_list(mixed: RunningGateway) -> None:
    models = ModelList(mixed.nexus.registry, "us")
    assert models.get(b"stranger") is models.get(b"someone, else") is models.get(b"")
    assert models.get(b"peer") is not models.get(b"stranger") is not models.get(None)
    mixed.nexus.registry.set_draining("peer", draining=True)
    assert b'"available":false' in models.get(b"stranger").page


async def test_the_list_is_not_told_to_the_gateway_itself(mixed: RunningGateway) -> None:
    for path in ("/v1/models", "/v1/models/own"):
        reply = await mixed.get(path, **{"X-Nexus-Via": f"a, {mixed.nexus.gateway_id}"})
        assert (reply.status, reply.error["code"]) == (508, "loop_detected")


async def test_no_request_goes_where_it_came_from(mixed: RunningGateway, fleet: FakeFleet) -> None:
    own, peer = fleet.backends
    for _ in range(8):
        assert (await mixed.chat("both", headers={"X-Nexus-Via": "a, peer"})).status == 200
    assert not chats(peer)
    reply = await mixed.chat("far", headers={"X-Nexus-Via": "peer"})
    assert reply.status == 503
    assert reply.error["context"]["rejections"][0]["code"] == "gateways"
    assert (await mixed.chat("far", headers={"X-Nexus-Via": "a"})).status == 200
    (request,) = chats(peer)
    assert request.header("x-nexus-via") == f"a, {mixed.nexus.gateway_id}"
    assert len(chats(own)) == 8


async def test_health_says_which_gateway_it_is_and_how_busy(mixed: RunningGateway) -> None:
    body = (await mixed.get("/health")).json
    assert body["gateway_id"] == mixed.nexus.gateway_id
    # The peer's slots are its own to tell.
    assert (body["in_flight"], body["slots"]) == (0, 100)
