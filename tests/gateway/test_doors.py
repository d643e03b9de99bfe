from __future__ import annotations

import pytest
from tests.support.gateway import Serve, backend_toml, chat_body

from nexus.testing import FakeFleet, FakeModel

KEYS = {"NEXUS_API_KEY": "client-key-1"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1:6398", "localhost", "[::1]:6398", "app.localhost", "192.168.1.7"]
)
async def test_addresses_and_localhost_are_ours(start: Serve, host: str) -> None:
    gateway = await start("")
    assert (await gateway.get("/health", Host=host)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:6398", "localhost.evil.example", "[::1", "a@b:c"]
)
async def test_a_foreign_host_name_is_refused_on_loopback(start: Serve, host: str) -> None:
    gateway = await start("")
    reply = await gateway.get("/v1/models", Host=host)
    assert reply.status in (400, 421)
    assert reply.error["code"] in ("misdirected_request", "invalid_request_error")


async def test_a_configured_host_name_is_ours(start: Serve) -> None:
    gateway = await start('[server]\nallowed_hosts = ["gateway.internal"]\n')
    assert (await gateway.get("/health", Host="gateway.internal:80")).status == 200


async def test_a_page_of_another_origin_is_refused(start: Serve) -> None:
    gateway = await start("")
    reply = await gateway.chat(headers={"Origin": "https://evil.example"})
    assert reply.status == 403
    assert reply.error["code"] == "forbidden"
    assert reply.header("access-control-allow-origin") is None


async def test_a_page_that_nexus_served_may_ask_for_inference(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start('[server]\nallowed_hosts = ["gateway.internal"]\n' + backend_toml(backend))
    for host in ("127.0.0.1:6398", "localhost:6398", "[::1]:6398", "192.168.1.7", "gateway.internal"):
        reply = await gateway.chat(headers={"Host": host, "Origin": f"http://{host}"})
        assert reply.status == 200, host


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:6398", "http://127.0.0.1:6399"),
        ("127.0.0.1:6398", "https://127.0.0.1:6398"),
        ("127.0.0.1:6398", "http://localhost:6398"),
        ("127.0.0.1:6398", "null"),
        ("127.0.0.1:6398", "http://"),
        ("127.0.0.1:6398", "http://127.0.0.1:6398, http://evil.example"),
    ],
)
async def test_another_port_or_scheme_is_another_origin(start: Serve, host: str, origin: str) -> None:
    gateway = await start("")
    reply = await gateway.chat(headers={"Host": host, "Origin": origin})
    assert (reply.status, reply.error["code"]) == (403, "forbidden")


async def test_on_a_wide_bind_a_name_that_was_rebound_to_us_is_no_origin_of_ours(
    fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    toml = '[server]\nhost = "0.0.0.0"\nallowed_hosts = ["gateway.internal"]\n' + backend_toml(backend)
    gateway = await start(toml)

    async def ask(host: str) -> int:
        reply = await gateway.chat(headers={"Host": host, "Origin": f"http://{host}"})
        return reply.status

    assert await ask("evil.example:6398") == 403
    assert [await ask(host) for host in ("192.168.1.7:6398", "localhost", "gateway.internal")] == [200] * 3


async def test_an_allowed_origin_gets_cors_from_nexus_alone(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    gateway = await start('[server]\ncors_origins = ["https://chat.example"]\n' + backend_toml(backend))
    origin = {"Origin": "https://chat.example"}
    reply = await gateway.chat(headers=origin)
    assert [value for name, value in reply.headers if name.lower() == "access-control-allow-origin"] == [
        "https://chat.example"
    ]
    reply = await gateway.request(
        "OPTIONS",
        "/v1/chat/completions",
        headers={**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"},
    )
    assert reply.status == 204
    assert reply.header("access-control-allow-headers") == "x-a"


async def test_keys_open_v1_and_nothing_else_needs_one(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend), **KEYS)
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"x-api-key": ""},
        {"Authorization": "Basic eDp5"},
    ):
        reply = await gateway.chat(headers=headers)
        assert reply.status == 401
        assert reply.error["code"] == "invalid_api_key"
        assert "client-key" not in reply.body.decode()
    assert (await gateway.get("/v1/models")).status == 401
    assert (await gateway.get("/health")).status == 200
    assert (await gateway.chat(headers={"Authorization": "Bearer client-key-1"})).status == 200
    assert (await gateway.chat(headers={"x-api-key": "client-key-1"})).status == 200


async def test_the_clients_credentials_never_reach_a_backend(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], key="backend-key")
    gateway = await start(
        backend_toml(backend, **{backend.name: 'api_key_env = "BACKEND_KEY"'}),
        **KEYS,
        BACKEND_KEY="backend-key",
    )
    headers = {
        "Authorization": "Bearer client-key-1",
        "x-api-key": "client-key-1",
        "Cookie": "session=secret",
        "X-Forwarded-For": "10.0.0.1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    reply = await gateway.request("POST", "/v1/chat/completions?api_key=client-key-1", chat_body(), headers)
    assert reply.status == 200
    request = backend.requests[-1]
    sent = str(request.headers) + request.path + str(request.query)
    assert "client-key" not in sent
    assert "secret" not in sent
    assert "10.0.0.1" not in sent
    assert request.header("authorization") == "Bearer backend-key"
    assert request.header("traceparent") == headers["traceparent"]


async def test_a_gateway_that_meets_itself_stops_the_loop(start: Serve) -> None:
    gateway = await start("")
    reply = await gateway.chat(headers={"X-Nexus-Via": f"other, {gateway.nexus.gateway_id}"})
    assert reply.status == 508
    assert reply.error["code"] == "loop_detected"


async def test_a_loop_of_gateways_that_nobody_knows_for_ones_ends(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    eight = ", ".join(f"g{number}" for number in range(8))
    assert (await gateway.chat(headers={"X-Nexus-Via": eight})).status == 200
    sent = backend.surface_requests[-1].header("x-nexus-via")
    assert sent == f"{eight}, {gateway.nexus.gateway_id}"
    for ask in (
        gateway.chat(headers={"X-Nexus-Via": sent}),
        gateway.get("/v1/models", **{"X-Nexus-Via": sent}),
    ):
        assert (await ask).status == 508
    reply = await gateway.chat(headers={"X-Nexus-Via": f"{eight}, g8"})
    assert (reply.status, reply.error["code"]) == (508, "loop_detected")
    assert "more than 8" in reply.error["message"]
    assert len(backend.surface_requests) == 1


async def test_a_keyed_backend_stays_behind_a_wide_open_door(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("openai", models=[FakeModel("m")], key="backend-key")
    toml = backend_toml(backend, **{backend.name: 'api_key_env = "BACKEND_KEY"'})
    gateway = await start('[server]\nhost = "0.0.0.0"\n' + toml, BACKEND_KEY="backend-key")
    reply = await gateway.chat()
    assert reply.status == 503
    assert reply.error["context"]["rejections"][0]["code"] == "keyed_backend"
    gateway = await start(
        '[server]\nhost = "0.0.0.0"\nallow_anonymous_cloud = true\n' + toml, BACKEND_KEY="backend-key"
    )
    assert (await gateway.chat()).status == 200
