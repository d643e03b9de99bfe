"""A browser shows the token once and keeps a cookie that no script and no other site can use."""

from __future__ import annotations

from tests.registry.fleet import ManualClock
from tests.support.client import RawReply
from tests.support.gateway import RunningGateway, Serve

from nexus.admin.sessions import SESSION_SECONDS, SESSIONS_MAX, Sessions
from nexus.domain import Secret, replace

TOKEN = "correct-horse-battery-staple"
TOML = '[admin]\ntoken_env = "GATEWAY_ADMIN_TOKEN"\n'
JSON = {"Content-Type": "application/json"}


async def login(gateway: RunningGateway, token: str = TOKEN, **headers: str) -> RawReply:
    return await gateway.request("POST", "/admin/session", {"token": token}, JSON | headers)


async def test_a_token_opens_a_session_that_opens_the_administration(start: Serve) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    before = (await gateway.get("/admin/session")).json
    assert (before["authenticated"], before["needs_token"]) == (False, True)
    assert (await gateway.get("/admin/backends")).status == 401
    reply = await login(gateway)
    assert (reply.status, reply.body) == (204, b"")
    cookie = reply.header("set-cookie")
    assert cookie is not None
    value, *flags = cookie.split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/admin", f"Max-Age={SESSION_SECONDS}"} <= set(flags)
    assert "Secure" not in flags
    assert TOKEN not in cookie
    assert (await gateway.get("/admin/backends", Cookie=f"a=b; {value}")).status == 200
    assert (await gateway.get("/admin/session", Cookie=value)).json["authenticated"] is True
    gone = await gateway.request("DELETE", "/admin/session", headers={"Cookie": value})
    assert gone.status == 204
    assert "Max-Age=0" in (gone.header("set-cookie") or "")
    assert (await gateway.get("/admin/backends", Cookie=value)).status == 401


async def test_a_wrong_token_opens_nothing(start: Serve) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    for token in ("", "wrong", TOKEN + "x"):
        reply = await login(gateway, token)
        assert (reply.status, reply.header("set-cookie")) == (401, None)
    for body in (b"", b"[]", b'{"token": 7}', b'{"token": "a", "b": 1}', b"\xff"):
        reply = await gateway.request("POST", "/admin/session", body, JSON)
        assert (reply.status, reply.error["param"]) == (400, "token")
    assert (await gateway.request("POST", "/admin/session", {"token": TOKEN})).status == 415
    assert (await gateway.request("PUT", "/admin/session", {"token": TOKEN}, JSON)).status == 405
    made_up = next(iter(gateway.nexus.administration.app._sessions._until), "x")  # type: ignore[union-attr]
    name = gateway.nexus.administration.app._sessions.name  # type: ignore[union-attr]
    assert (await gateway.get("/admin/backends", Cookie=f"{name}={made_up}")).status == 401


async def test_other_sites_and_other_hosts_get_no_session(start: Serve) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    assert (await login(gateway, Origin="http://evil.example")).status == 403
    value = ((await login(gateway)).header("set-cookie") or "").split(";")[0]
    cookie = {"Cookie": value, "Origin": "http://evil.example"}
    assert (await gateway.request("POST", "/admin/explain", {}, JSON | cookie)).status == 403
    own = {"Cookie": value, "Origin": "http://localhost"}
    assert (await gateway.request("GET", "/admin/backends", headers=own)).status == 200


async def test_a_local_reader_needs_none(start: Serve) -> None:
    gateway = await start("")
    told = (await gateway.get("/admin/session")).json
    assert (told["authenticated"], told["needs_token"]) == (True, False)
    # Nobody has a token to show, so none is asked for.
    through_a_proxy = (await gateway.get("/admin/session", **{"X-Forwarded-For": "10.0.0.1"})).json
    assert (through_a_proxy["authenticated"], through_a_proxy["needs_token"]) == (False, False)
    assert (await login(gateway, **{"X-Forwarded-For": "10.0.0.1"})).status == 403


async def test_who_looks_meets_another_door_when_the_token_changes(start: Serve) -> None:
    gateway = await start(TOML, GATEWAY_ADMIN_TOKEN=TOKEN)
    app = gateway.nexus.administration.app
    assert app is not None
    value = ((await login(gateway)).header("set-cookie") or "").split(";")[0]
    async with gateway.client() as client:
        client.send("GET", "/admin/events", headers={"Cookie": value})
        await client.read_reply(until=1)
        app.reconfigure(replace(app._door, token=Secret("another")))
        assert (await client.read_reply()).complete
    assert (await gateway.get("/admin/events", Cookie=value)).status == 401


def test_sessions_end_and_are_bounded() -> None:
    clock = ManualClock()
    names = iter(f"s{number}" for number in range(1000))
    sessions = Sessions("n", clock, lambda: next(names))
    first = sessions.open(secure=True).split(";")[0]
    assert sessions.open(secure=True).endswith("; Secure")
    assert sessions.holds(first)
    clock.time += SESSION_SECONDS
    assert not sessions.holds(first)
    for _ in range(SESSIONS_MAX + 5):
        newest = sessions.open(secure=False).split(";")[0]
    assert len(sessions._until) == SESSIONS_MAX
    assert sessions.holds(newest)
    sessions.clear()
    assert not sessions.holds(newest)
