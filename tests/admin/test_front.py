"""``/admin/backends`` over real sockets on a running gateway."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.admin.asking import JSON, Admin
from tests.support.gateway import Serve, backend_toml

from nexus.admin.front import BODY_BYTES
from nexus.testing import FakeFleet, FakeModel


async def test_a_server_is_added_listed_used_and_removed(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start("")
    admin = Admin(gateway)
    assert (await gateway.chat()).status == 404
    reply = await admin.add(url=backend.url, name="Küche 1", priority=7)
    assert reply.status == 201, reply.body
    view = reply.json
    assert (view["id"], view["name"], view["type"], view["status"]) == (
        "Küche 1",
        "Küche 1",
        "vllm",
        "healthy",
    )
    assert (view["source"], view["found_by"], view["priority"]) == ("manual", "/admin/backends", 7)
    assert [model["id"] for model in view["models"]] == ["m"]
    assert (await gateway.chat()).status == 200
    assert (await admin.list())["Küche 1"] == (await gateway.get("/admin/backends/K%C3%BCche%201")).json
    reply = await admin.delete("K%C3%BCche%201")
    assert (reply.status, reply.json["deleted"]) == (200, True)
    assert await admin.list() == {}
    assert (await admin.delete("K%C3%BCche%201")).status == 404


async def test_a_server_that_is_off_is_added_and_serves_when_it_comes(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("llamacpp", models=[FakeModel("m")])
    await backend.stop()
    gateway = await start("[health_check]\ninterval_seconds = 1\n")
    reply = await Admin(gateway).add(url=backend.url)
    assert reply.status == 201
    assert reply.json["status"] == "unhealthy"
    assert "refused" in reply.json["reason"]
    assert reply.json["name"] == backend.url.removeprefix("http://")
    await backend.start()
    await gateway.until(lambda: gateway.nexus.registry.views()[0].status == "healthy")
    assert (await gateway.chat()).status == 200


async def test_what_is_no_inference_server_is_refused(start: Serve) -> None:
    async def page(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    gateway = await start("")
    admin = Admin(gateway)
    reply = await admin.add(url=url)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (422, "unprocessable", "url")
    assert await admin.list() == {}
    assert (await admin.add(url=url, type="generic")).status == 201
    server.close()
    await server.wait_closed()


async def test_a_redirect_is_never_followed(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    asked: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        location = f"Location: {backend.url}/v1/models\r\n".encode()
        writer.write(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    gateway = await start("")
    reply = await Admin(gateway).add(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert reply.status == 422
    assert asked
    assert backend.requests == []
    server.close()
    await server.wait_closed()


async def test_head_is_answered_like_get(start: Serve) -> None:
    gateway = await start("")
    async with gateway.client() as client:
        client.send("HEAD", "/admin/backends")
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 20)
        assert head.startswith(b"HTTP/1.1 200 ")
        client.send("GET", "/admin/backends")
        assert (await client.read_reply()).status == 200


async def test_nexus_itself_is_not_added(start: Serve) -> None:
    gateway = await start("")
    reply = await Admin(gateway).add(url=f"http://127.0.0.1:{gateway.nexus.port}")
    assert reply.status == 422, reply.body


async def test_names_and_addresses_are_there_once(fleet: FakeFleet, start: Serve) -> None:
    first = await fleet.add("vllm", models=[FakeModel("m")])
    second = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(first))
    admin = Admin(gateway)
    for fields in (
        {"url": first.url},
        {"url": first.url + "/v1/"},
        {"url": first.url.replace("127.0.0.1", "LOCALHOST"), "name": "other"},
    ):
        reply = await admin.add(**fields)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (409, "conflict", "url")
    reply = await admin.add(url=second.url, name=first.name)
    assert (reply.status, reply.error["param"]) == (409, "name")
    replies = await asyncio.gather(*(admin.add(url=second.url, name=name) for name in "aabbc"))
    assert sorted(reply.status for reply in replies) == [201, 409, 409, 409, 409]
    assert len(await admin.list()) == 2


async def test_static_ones_are_changed_in_memory_and_never_deleted(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    admin = Admin(gateway)
    reply = await admin.patch(backend.name, priority=1, slots=3)
    assert (reply.status, reply.json["priority"], reply.json["slots"]) == (200, 1, 3)
    assert "entry in its configuration" in reply.json["note"]
    assert reply.json["status"] == "healthy"
    reply = await admin.patch(backend.name, slots=None)
    assert reply.json["slots"] != 3
    reply = await admin.delete(backend.name)
    assert (reply.status, reply.error["code"]) == (409, "conflict")
    assert "remove it there" in reply.error["message"]
    assert (await gateway.chat()).status == 200
    assert not (gateway.log.parent / "state" / "backends.json").exists()


async def test_a_check_runs_now(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    admin = Admin(gateway)
    backend.set_models(["m", "new"])
    reply = await admin.check(backend.name)
    assert (reply.status, [model["id"] for model in reply.json["models"]]) == (200, ["m", "new"])
    assert reply.json["check"] == {"status": "healthy", "reason": ""}
    await backend.kill()
    reply = await admin.check(backend.name)
    assert (reply.status, reply.json["check"]["status"]) == (200, "unhealthy")
    assert "refused" in reply.json["check"]["reason"]
    assert (await admin.check("nobody")).status == 404
    refused = await gateway.request("POST", f"/admin/backends/{backend.name}/check", b'{"a":1}', JSON)
    assert refused.status == 400


@pytest.mark.parametrize(
    ("fields", "param", "word"),
    [
        ({}, "url", "url"),
        ({"url": 1}, "url", "URL"),
        ({"url": ""}, "url", "nothing"),
        ({"url": "ftp://x"}, "url", "http"),
        ({"url": "http://user:secret@x"}, "url", "password"),
        ({"url": "http://x?key=secret"}, "url", "query"),
        ({"url": "http://127.0.0.1:99999"}, "url", "port"),
        ({"url": "http://127.0.0.1:0"}, "url", "port"),
        ({"url": "http://x/../admin"}, "url", "part"),
        ({"url": "http://x:1", "prority": 1}, "prority", '"priority"'),
        ({"url": "http://x:1", "priority": "1"}, "priority", "whole number"),
        ({"url": "http://x:1", "priority": 101}, "priority", "0 to 100"),
        ({"url": "http://x:1", "priority": True}, "priority", "whole number"),
        ({"url": "http://x:1", "priority": None}, "priority", "whole number"),
        ({"url": "http://x:1", "slots": 0}, "slots", "1 to"),
        ({"url": "http://x:1", "slots": 1.5}, "slots", "whole number"),
        ({"url": "http://x:1", "type": "olama"}, "type", '"ollama"'),
        ({"url": "http://x:1", "name": "a/b"}, "name", '"/"'),
        ({"url": "http://x:1", "name": "x" * 65}, "name", "64"),
        ({"url": "http://x:1", "name": "a\r\nb"}, "name", "control"),
        ({"url": "http://x:1", "name": ["a"]}, "name", "name"),
        ({"url": "http://x:1", "api_key_env": "sk-live-secret"}, "api_key_env", "environment variable"),
        ({"url": "http://x:1", "headers": {"a": "b"}}, "headers", "headers"),
    ],
)
async def test_a_wrong_field_is_named_and_never_echoed(
    start: Serve, fields: dict[str, object], param: str, word: str
) -> None:
    gateway = await start("")
    reply = await Admin(gateway).add(**fields)
    assert (reply.status, reply.error["code"]) == (400, "invalid_request_error")
    assert reply.error["param"] == param
    assert word in reply.error["message"]
    assert "secret" not in reply.body.decode()


async def test_a_key_is_named_by_a_variable_that_must_be_set(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], key="backend-key")
    gateway = await start("", BOX_KEY="backend-key")
    admin = Admin(gateway)
    reply = await admin.add(url=backend.url, name="box", api_key_env="NOT_SET")
    assert (reply.status, reply.error["param"]) == (422, "api_key_env")
    reply = await admin.add(url=backend.url, name="box", api_key_env="BOX_KEY")
    assert (reply.status, reply.json["status"], reply.json["keyed"]) == (201, "healthy", True)
    assert "backend-key" not in reply.body.decode()
    kept = (tmp_path / "state" / "backends.json").read_text()
    assert "BOX_KEY" in kept
    assert "backend-key" not in kept


BODIES = [
    b"", b"{", b"nonsense", b"[]", b"null", b'"url"', b"\xff\xfe", b'{"url":"\\ud800"}', b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"1e999", b"\x00",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_what_is_no_json_object_is_400(fleet: FakeFleet, start: Serve, body: bytes) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(backend_toml(backend))
    for method, path in (("POST", "/admin/backends"), ("PATCH", f"/admin/backends/{backend.name}")):
        reply = await gateway.request(method, path, body, JSON)
        assert (reply.status, reply.error["code"]) == (400, "invalid_request_error"), reply.body
    assert "Traceback" not in gateway.log.read_text()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {**JSON, "Content-Encoding": "gzip"},
    ],
)
async def test_only_json_is_taken(start: Serve, headers: dict[str, str]) -> None:
    gateway = await start("")
    reply = await gateway.request("POST", "/admin/backends", {"url": "http://x:1"}, headers)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


async def test_a_huge_body_is_refused_before_it_is_sent_and_while_it_comes(start: Serve) -> None:
    gateway = await start("")
    async with gateway.client() as client:
        client.send("POST", "/admin/backends", b"", {**JSON, "Content-Length": "99999999"})
        assert (await client.read_reply()).status == 413
    chunk = b"x" * (BODY_BYTES + 1)
    async with gateway.client() as client:
        client.writer.write(
            b"POST /admin/backends HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk)
        )
        assert (await client.read_reply()).status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin", 404),
        ("GET", "/admin/", 404),
        ("GET", "/admin/nothing", 404),
        ("GET", "/administrator", 404),
        ("GET", "/v1/admin/backends", 404),
        ("GET", "/Admin/backends", 404),
        ("GET", "/admin/backends/", 200),
        ("GET", "/admin/backends/..%2F..%2Fetc%2Fpasswd", 404),
        ("GET", "/admin/backends/../../../etc/passwd", 404),
        ("GET", "/admin/backends/%00", 404),
        ("GET", "/admin/backends/%FF%FE", 404),
        ("GET", "/admin/backends/" + "x" * 5000, 404),
        ("DELETE", "/admin/backends/../backends", 404),
        ("PUT", "/admin/backends", 405),
        ("OPTIONS", "/admin/backends", 405),
        ("DELETE", "/admin/backends", 405),
        ("GET", "/admin/backends?x=1", 400),
        ("DELETE", "/admin/backends/a?drian=true", 400),
        ("DELETE", "/admin/backends/a?drain=maybe", 400),
        ("DELETE", "/admin/backends/a?drain=true&drain=true", 400),
    ],
)
async def test_odd_paths_are_answered_in_openais_shape(
    start: Serve, method: str, path: str, status: int
) -> None:
    gateway = await start("")
    reply = await gateway.request(method, path)
    assert reply.status == status
    if status != 200:
        assert set(reply.error) >= {"message", "type", "param", "code"}
        assert len(reply.body) < 1000
    if status == 405:
        assert reply.header("allow")
    assert "Traceback" not in gateway.log.read_text()


async def test_a_name_nearly_right_is_suggested(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="workstation")
    gateway = await start(backend_toml(backend))
    assert '"workstation"' in (await Admin(gateway).check("workstatoin")).error["message"]


async def test_the_administration_can_be_switched_off(start: Serve) -> None:
    gateway = await start("[admin]\nenabled = false\n")
    assert (await gateway.get("/admin/backends")).status == 404


def test_starlette_is_imported_by_the_first_who_asks_and_not_before() -> None:
    code = (
        "import sys, nexus.server.compose, nexus.admin.front\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('starlette', 'anyio')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_changes_are_logged(fleet: FakeFleet, start: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nexus")
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    admin = Admin(await start(""))
    await admin.add(url=backend.url, name="a")
    await admin.patch("a", priority=2)
    await admin.delete("a")
    logs = ("nexus.admin", "nexus.fleet")
    said = [record.getMessage() for record in caplog.records if record.name in logs]
    assert said == ["backend was added", "backend was changed", "backend was removed"]


async def test_a_defect_is_a_500_without_detail(
    start: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start("")

    def broken() -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(gateway.nexus.administration.operations, "views", broken)
    async with gateway.client() as client:
        for _ in range(2):
            client.send("GET", "/admin/backends")
            reply = await client.read_reply()
            assert (reply.status, reply.error["code"]) == (500, "internal_error")
            assert b"secret" not in reply.body
    assert caplog.text.count("RuntimeError: a secret detail") == 2


async def test_a_shutdown_does_not_wait_for_a_server_that_says_nothing(
    start: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    gateway = await start("[health_check]\ntimeout_seconds = 600\n")
    async with gateway.client() as client:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client.send("POST", "/admin/backends", {"url": url}, JSON)
        async with asyncio.timeout(20):
            await asked.wait()
            await gateway.nexus.close()
        assert (await client.read_reply()).complete is False
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    server.close()
    await server.wait_closed()


async def test_a_client_that_leaves_leaves_nothing_half_added(fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start("")
    admin = Admin(gateway)
    async with gateway.client() as client:
        client.send("POST", "/admin/backends", {"url": backend.url, "name": "a"}, JSON)
        await gateway.until(lambda: backend.requests != [])
    await gateway.until(lambda: [view.status for view in gateway.nexus.registry.views()] == ["healthy"])
    assert (await admin.add(url=backend.url, name="a")).status == 409
    assert (await admin.delete("a")).status == 200
    assert (await admin.add(url=backend.url, name="a")).status == 201
