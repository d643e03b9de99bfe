"""``/admin/requests`` and ``/admin/explain`` over real sockets on a running gateway."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.admin.asking import JSON
from tests.support.gateway import Serve, backend_toml, chat_body

from nexus import testing
from nexus.testing import FakeFleet, FakeModel
from nexus.testing.faults import Stage


async def test_a_request_that_failed_over_tells_its_whole_story(fleet: FakeFleet, start: Serve) -> None:
    bad = await fleet.add("vllm", models=[FakeModel("m")])
    good = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start(backend_toml(bad, good, **{bad.name: "priority = 1"}))
    bad.always(testing.ServerError())
    await gateway.request(
        "POST",
        "/v1/chat/completions",
        chat_body(),
        {"X-Request-Id": "abc", "Content-Type": "application/json"},
    )
    await gateway.outcome()
    listed = (await gateway.get("/admin/requests")).json
    (line,) = listed["data"]
    assert (line["id"], line["status"], line["backend"], line["attempts"]) == ("abc", 200, good.name, 2)
    assert line["completion_tokens"] > 0
    assert line["estimated"] is False
    told = (await gateway.get("/admin/requests/abc")).json
    assert {name: told[name] for name in line} == line
    assert told["needs"]["text_bytes"] == len("Hello")
    assert [one["failure"] for one in told["tries"]] == ["server_error", None]
    assert told["tries"][0]["after_seconds"] < told["tries"][1]["after_seconds"]
    assert [decided["reason"] for decided in told["decisions"]] == ["capability-match", "failover"]
    assert [(one["backend"], one["rank"]) for one in told["decisions"][0]["candidates"]] == [
        (bad.name, 1),
        (good.name, 2),
    ]
    assert told["timings"]["overhead_seconds"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_running_request_is_listed_and_can_be_cancelled(
    fleet: FakeFleet, start: Serve, stream: bool
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    backend.always(testing.Stall(stage=Stage.BODY if stream else Stage.HEAD))
    client = asyncio.ensure_future(gateway.chat(stream=stream))
    await gateway.until(lambda: gateway.nexus.registry.in_flight(backend.name) == 1)
    if stream:
        await gateway.until(lambda: any(one.reply.started for one in gateway.nexus.exchanges.running))
    (running,) = (await gateway.get("/admin/requests")).json["running"]
    assert (running["model"], running["backend"]) == ("m", backend.name)
    assert running["state"] == ("answering" if stream else "waiting")
    assert running["client"] == "127.0.0.1"
    detail = (await gateway.get(f"/admin/requests/{running['id']}")).json
    assert detail["running"] is True
    assert detail["decisions"][0]["candidates"][0]["chosen"] is True
    gone = await gateway.request("POST", f"/admin/requests/{running['id']}/cancel")
    assert (gone.status, gone.json) == (202, {"id": running["id"], "cancelled": True})
    reply = await client
    if stream:
        assert json.loads(reply.events[-1])["error"]["code"] == "cancelled"
    else:
        assert (reply.status, reply.error["code"]) == (503, "cancelled")
    assert (await gateway.outcome()).error == "cancelled"
    assert gateway.at_rest()
    again = await gateway.request("POST", f"/admin/requests/{running['id']}/cancel")
    assert (again.status, again.error["code"]) == (404, "not_found")


async def test_the_list_is_filtered_and_paged(fleet: FakeFleet, start: Serve) -> None:
    one = await fleet.add("vllm", models=[FakeModel("m"), FakeModel("other")])
    gateway = await start(backend_toml(one))
    for name in ("m", "other", "nobody", "m"):
        await gateway.chat(name)
    await gateway.outcome(4)

    async def models(query: str) -> list[str]:
        reply = await gateway.get(f"/admin/requests?{query}")
        assert reply.status == 200, reply.body
        return [line["model"] for line in reply.json["data"]]

    assert await models("") == ["m", "nobody", "other", "m"]
    assert await models("limit=1") == ["m"]
    assert await models("before=3") == ["other", "m"]
    assert await models("model=m") == ["m", "m"]
    assert await models("outcome=failed") == ["nobody"]
    assert await models("outcome=ok") == ["m", "other", "m"]
    assert await models(f"backend={one.name}&limit=2") == ["m", "other"]
    assert await models("q=NOBO") == ["nobody"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=9999", "limit"),
        ("limit=%D9%A1", "limit"),
        ("before=-1", "before"),
        ("outcome=maybe", "outcome"),
        ("q=a&q=b", "q"),
        ("modle=m", None),
    ],
)
async def test_a_query_that_is_not_understood_is_refused(start: Serve, query: str, param: str | None) -> None:
    gateway = await start("")
    reply = await gateway.get(f"/admin/requests?{query}")
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_what_was_forgotten_is_said_to_be(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend) + "\n[history]\nrequests = 2\n")
    oldest = (await gateway.chat()).header("x-nexus-request-id")
    for _ in range(2):
        await gateway.chat()
    await gateway.outcome(3)
    listed = (await gateway.get("/admin/requests")).json
    assert (listed["kept"], listed["forgotten"]) == (2, 1)
    reply = await gateway.get(f"/admin/requests/{oldest}")
    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert "[history] requests" in reply.error["message"]


async def test_explaining_sends_nothing(fleet: FakeFleet, start: Serve) -> None:
    small = await fleet.add("llamacpp", models=[FakeModel("m", context=512)])
    large = await fleet.add("llamacpp", models=[FakeModel("m", context=8192)])
    gateway = await start(backend_toml(small, large))
    body = chat_body(messages=[{"role": "user", "content": "word " * 2000}])
    reply = await gateway.request("POST", "/admin/explain", body, JSON)
    assert reply.status == 200, reply.body
    by_name = {one["backend"]: one for one in reply.json["decision"]["candidates"]}
    (why,) = by_name[small.name]["rejections"]
    assert (why["policy"], why["code"]) == ("context_length", "context_length")
    assert "512 tokens" in why["message"]
    assert by_name[large.name]["chosen"] is True
    assert reply.json["needs"]["text_bytes"] > 9000
    posted = [one for backend in (small, large) for one in backend.requests if one.method == "POST"]
    assert posted == []
    assert (await gateway.get("/admin/requests")).json["data"] == []


async def test_explaining_refuses_what_the_surface_would_refuse(start: Serve) -> None:
    gateway = await start("")
    bad = await gateway.request("POST", "/admin/explain", b"{}", JSON)
    assert (bad.status, bad.error["param"]) == (400, "model")
    surface = await gateway.request("POST", "/admin/explain?surface=speech", chat_body(), JSON)
    assert (surface.status, surface.error["param"]) == (400, "surface")
    unknown = await gateway.request("POST", "/admin/explain", chat_body("nobody"), JSON)
    assert unknown.status == 200
    assert "nobody" in unknown.json["decision"]["refusal"]
    form = await gateway.request("POST", "/admin/explain", chat_body())
    assert form.status == 415
    large = await gateway.request("POST", "/admin/explain", b" " * (8 * 1024 * 1024 + 1), JSON)
    assert large.status == 413


async def test_traffic_is_counted_by_model_and_backend(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    for name in ("m", "m", "nobody"):
        await gateway.chat(name)
    await gateway.outcome(3)
    traffic = (await gateway.get("/admin/traffic")).json
    rows = [row for bucket in traffic["buckets"] for row in bucket["rows"]]
    assert sum(row["requests"] for row in rows if row["backend"] == backend.name) == 2
    assert sum(row["completion_tokens"] for row in rows) > 0
    assert sum(row["first_byte_count"] for row in rows) == 2
    assert {row["model"] for row in rows} == {"m", ""}
    assert sum(row["errors"] for row in rows) == 1


async def test_a_server_is_judged_before_it_is_added(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("ollama", models=[FakeModel("a"), FakeModel("b")])
    gateway = await start("")
    told = (await gateway.request("POST", "/admin/detect", {"url": backend.url}, JSON)).json
    assert (told["type"], told["serves"], told["reachable"]) == ("ollama", True, True)
    assert sorted(name.partition(":")[0] for name in told["models"]) == ["a", "b"]
    assert told["evidence"]
    assert gateway.nexus.registry.snapshot.backends == {}
    await backend.kill()
    gone = (await gateway.request("POST", "/admin/detect", {"url": backend.url}, JSON)).json
    assert (gone["reachable"], gone["serves"], gone["type"]) == (False, False, None)
    metadata = await gateway.request("POST", "/admin/detect", {"url": "http://169.254.169.254"}, JSON)
    assert (metadata.status, metadata.error["param"]) == (422, "url")
