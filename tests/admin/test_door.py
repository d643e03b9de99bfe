"""Who gets into ``/admin``, by the rules alone and over real sockets."""

from __future__ import annotations

import pytest
from tests.support.gateway import RunningGateway, Serve

from nexus.admin.door import AdminDoor, one_time_token, token_line
from nexus.domain import Secret, replace
from nexus.errors import RequestError
from nexus.http.request import Request

TOKEN = Secret("the-admin-token")
OPEN = AdminDoor()
TOKEN_ONLY = AdminDoor(token=TOKEN, token_only=True, loopback=False)
ONE_TIME = AdminDoor(token=TOKEN, loopback=False)
BEARER = {"authorization": "Bearer the-admin-token"}


def request(peer: str | None = "127.0.0.1", host: str | None = "localhost:6398", **fields: str) -> Request:
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    if host is not None:
        given["host"] = host
    encoded = {name.encode(): value.encode() for name, value in given.items()}
    return Request("GET", "/admin/backends", "", (1, 1), tuple(encoded.items()), encoded, peer=peer)


def status(door: AdminDoor, asked: Request) -> int:
    try:
        door.check(asked)
    except RequestError as error:
        return 0 if TOKEN.reveal() in error.message else error.status
    return 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_computer_gets_in(peer: str) -> None:
    assert status(OPEN, request(peer)) == 200


@pytest.mark.parametrize(
    "peer", [None, "", "192.168.1.2", "8.8.8.8", "fe80::1%eth0", "::ffff:10.0.0.1", "odd"]
)
def test_nobody_else_does(peer: str | None) -> None:
    assert status(OPEN, request(peer)) == 403
    assert status(ONE_TIME, request(peer)) == 401
    assert status(ONE_TIME, request(peer, **BEARER)) == 200


@pytest.mark.parametrize(
    "name",
    [
        "forwarded",
        "via",
        "x_forwarded_for",
        "x_forwarded_host",
        "x_forwarded_proto",
        "x_forwarded_any",
        "x_real_ip",
    ],
)
def test_who_came_through_a_proxy_is_from_elsewhere(name: str) -> None:
    assert status(OPEN, request(**{name: "127.0.0.1"})) == 403
    assert status(OPEN, request(**{name: ""})) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:6398", "localhost.evil.example", "", "[::1", None]
)
def test_a_foreign_host_is_dns_rebinding_on_every_bind(host: str | None) -> None:
    assert status(OPEN, request(host=host)) == 421
    assert status(ONE_TIME, request(host=host)) == 421


def test_a_configured_host_is_ours() -> None:
    door = AdminDoor(hosts=frozenset({"gw.internal"}))
    assert status(door, request(host="GW.internal:6398")) == 200


def test_with_a_token_on_a_wide_bind_any_host_serves() -> None:
    assert status(TOKEN_ONLY, request(host="gw.example", **BEARER)) == 200
    assert status(AdminDoor(token=TOKEN, token_only=True), request(host="gw.example", **BEARER)) == 421


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://localhost:6398", "localhost:6398", 200),
        ("HTTP://LOCALHOST:6398", "localhost:6398", 200),
        ("http://[::1]:6398", "[::1]:6398", 200),
        ("http://localhost:6399", "localhost:6398", 403),
        ("http://localhost", "localhost:6398", 403),
        ("http://127.0.0.1:6398", "localhost:6398", 403),
        ("https://localhost:6398", "localhost:6398", 403),
        ("https://evil.example", "localhost:6398", 403),
        ("null", "localhost:6398", 403),
        ("", "localhost:6398", 403),
        ("http://", "localhost:6398", 403),
    ],
)
def test_only_our_own_page_gets_in(origin: str, host: str, expected: int) -> None:
    assert status(OPEN, request(host=host, origin=origin)) == expected


def test_behind_a_proxy_that_ends_tls_the_page_is_https() -> None:
    asked = request(host="gw.example", origin="https://gw.example", x_forwarded_for="1.2.3.4", **BEARER)
    assert status(TOKEN_ONLY, asked) == 200


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "the-admin-token"},
        {"authorization": "Basic the-admin-token"},
        {"authorization": "Bearer the-admin-tokenx"},
        {"authorization": "Bearer thé-admin-token"},
        {"x_api_key": "the-admin-token"},
    ],
)
def test_with_a_token_nobody_gets_in_without_it(fields: dict[str, str]) -> None:
    assert status(TOKEN_ONLY, request(**fields)) == 401
    assert status(TOKEN_ONLY, request("10.0.0.1", **fields)) == 401


def test_the_scheme_of_the_token_is_in_any_case() -> None:
    assert status(TOKEN_ONLY, request(authorization="bEaReR  the-admin-token ")) == 200


def test_a_one_time_token_is_made_only_where_nobody_could_come_in_otherwise() -> None:
    assert one_time_token(configured=False, in_container=False) is None
    assert one_time_token(configured=True, in_container=True) is None
    first = one_time_token(configured=False, in_container=True)
    second = one_time_token(configured=False, in_container=True)
    assert first is not None
    assert first != second
    assert len(first.reveal()) >= 32
    assert first.reveal() in token_line(first, "http://127.0.0.1:6398")


KEYS = {"NEXUS_API_KEY": "client-key", "GATEWAY_ADMIN": "admin-token-1"}
WITH_TOKEN = '[admin]\ntoken_env = "GATEWAY_ADMIN"\n'


async def test_the_two_doors_have_nothing_in_common(start: Serve) -> None:
    gateway = await start(WITH_TOKEN, **KEYS)
    path = "/admin/backends"
    assert (await gateway.get(path)).status == 401
    assert (await gateway.get(path, Authorization="Bearer client-key")).status == 401
    reply = await gateway.get(path, **{"x-api-key": "client-key"})
    assert (reply.status, reply.error["code"], reply.header("www-authenticate")) == (
        401, "invalid_api_key", "Bearer",
    )  # fmt: skip
    assert (await gateway.get(path, Authorization="Bearer admin-token-1")).status == 200
    assert (await gateway.get("/v1/models", Authorization="Bearer admin-token-1")).status == 401
    assert (await gateway.get("/v1/models", Authorization="Bearer client-key")).status == 200


async def test_reads_are_for_this_computer_too(start: Serve) -> None:
    gateway = await start("")
    path = "/admin/backends"
    assert (await gateway.get(path)).status == 200
    for headers, expected in (
        ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"Via": "1.1 proxy"}, 403),
        ({"Forwarded": "for=127.0.0.1"}, 403),
        ({"Host": "rebound.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        (
            {"Origin": f"http://127.0.0.1:{gateway.nexus.port}", "Host": f"127.0.0.1:{gateway.nexus.port}"},
            200,
        ),
    ):
        reply = await gateway.get(path, **headers)
        assert reply.status == expected, headers
        assert reply.header("access-control-allow-origin") is None


async def test_pages_that_may_use_the_models_may_not_administer(start: Serve) -> None:
    gateway = await start('[server]\ncors_origins = ["*"]\n')
    page = {"Origin": "https://chat.example"}
    assert (await gateway.get("/v1/models", **page)).status == 200
    assert (await gateway.get("/admin/backends", **page)).status == 403
    reply = await gateway.request(
        "OPTIONS", "/admin/backends", headers={**page, "Access-Control-Request-Method": "POST"}
    )
    assert reply.status == 403
    assert reply.header("access-control-allow-methods") is None


async def test_a_wide_bind_still_knows_rebinding(start: Serve) -> None:
    gateway = await start('[server]\nhost = "0.0.0.0"\n')
    assert (await gateway.get("/admin/backends")).status == 200
    assert (await gateway.get("/health", Host="rebound.example")).status == 200
    assert (await gateway.get("/admin/backends", Host="rebound.example")).status == 421


async def test_in_a_container_a_one_time_token_lets_others_in(start: Serve) -> None:
    gateway = await start('[server]\nhost = "0.0.0.0"\n', container="podman")
    token = gateway.nexus.administration.one_time_token
    assert token is not None
    from_elsewhere = {"X-Forwarded-For": "10.0.0.1"}
    path = "/admin/backends"
    assert (await gateway.get(path)).status == 200
    assert (await gateway.get(path, **from_elsewhere)).status == 401
    bearer = f"Bearer {token.reveal()}"
    assert (await gateway.get(path, **from_elsewhere, Authorization=bearer)).status == 200
    assert token.reveal() not in gateway.log.read_text()


async def test_a_refusal_at_the_door_takes_no_body(start: Serve) -> None:
    gateway = await start(WITH_TOKEN, **KEYS)
    async with gateway.client() as client:
        client.send("POST", "/admin/backends", b"", {"Content-Length": "1000000", "Expect": "100-continue"})
        assert (await client.read_reply()).status == 401


async def shown(gateway: RunningGateway, **headers: str) -> bool:
    reply = await gateway.get("/health?verbose=1", **headers)
    assert reply.status == 200
    return "items" in reply.json["backends"]


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_the_backends_in_health_are_behind_the_same_door(start: Serve, enabled: str) -> None:
    switch = f"enabled = {enabled}\n"
    gateway = await start(f'[server]\ncors_origins = ["*"]\n[admin]\n{switch}')
    assert await shown(gateway)
    for headers in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Origin": "http://localhost:3000"},
    ):
        assert not await shown(gateway, **headers), headers
    guarded = await start(WITH_TOKEN + switch, **KEYS)
    assert not await shown(guarded)
    assert not await shown(guarded, Authorization="Bearer client-key")
    assert await shown(guarded, Authorization="Bearer admin-token-1")
    wide = await start(f'[server]\nhost = "0.0.0.0"\n[admin]\n{switch}')
    assert await shown(wide)
    assert not await shown(wide, Host="rebound.example")


async def test_the_backends_in_health_follow_a_reload(start: Serve) -> None:
    gateway = await start("")
    assert await shown(gateway)
    gateway.nexus.loaded = replace(gateway.nexus.loaded, admin_token=Secret("admin-token-1"))
    assert not await shown(gateway)
    assert await shown(gateway, Authorization="Bearer admin-token-1")
