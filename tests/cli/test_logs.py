"""``nexus logs`` as people run it, against running gateways."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import trustme
from tests.cli.door import Door
from tests.cli.program import Program, on_a_terminal, program
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus import testing
from nexus.testing import FakeFleet, FakeModel

HOSTILE = "\x1b[2J\x1b[31mevil\r\n"


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door(None)
    await door.open()
    yield door
    await door.close()


async def gateway_over(fleet: FakeFleet, start: Serve, more: str = "") -> RunningGateway:
    backend = await fleet.add("vllm", models=[FakeModel("m"), FakeModel("other")])
    return await start(backend_toml(backend) + more)


def url(gateway: RunningGateway) -> str:
    return f"http://127.0.0.1:{gateway.nexus.port}"


async def chats(gateway: RunningGateway, number: int, model: str = "m") -> list[str]:
    """Make requests, one after the other, and return their ids."""
    before = len(gateway.outcomes)
    for _ in range(number):
        await gateway.chat(model)
    await gateway.outcome(before + number)
    return [outcome.request_id for outcome in gateway.outcomes[before:]]


async def ids(running: Program, number: int) -> list[str]:
    """The ids in the next lines."""
    return [(await running.line()).split()[-1] for _ in range(number)]


async def test_the_last_requests_are_shown_oldest_first(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start)
    made = await chats(gateway, 3)
    async with program(tmp_path, "logs", "-n", "2", "--url", url(gateway)) as running:
        code, out, err = await running.rest()
    assert (code, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines()] == made[1:]
    assert f" 200 m on {gateway.outcomes[0].backend}  " in out
    assert "tokens" in out
    assert "\x1b" not in out


async def test_filters_are_nexuss_own(fleet: FakeFleet, start: Serve, tmp_path: Path) -> None:
    gateway = await gateway_over(fleet, start)
    fine, other, wrong = [(await chats(gateway, 1, model))[0] for model in ("m", "other", "nope")]
    backend = gateway.outcomes[0].backend
    for arguments, expected in (
        (("--failed",), [wrong]),
        (("--model", "other"), [other]),
        (("--backend", backend), [fine, other]),
        (("--backend", backend, "--model", "m"), [fine]),
        (("-n", "0"), []),
    ):
        async with program(tmp_path, "logs", *arguments, "--url", url(gateway)) as running:
            code, out, _ = await running.rest()
        assert code == 0
        assert [line.split()[-1] for line in out.splitlines()] == expected


async def test_each_line_of_json_is_one_object(fleet: FakeFleet, start: Serve, tmp_path: Path) -> None:
    gateway = await gateway_over(fleet, start)
    made = await chats(gateway, 2)
    async with program(tmp_path, "logs", "-f", "--json", "--url", url(gateway)) as running:
        told = [json.loads(await running.line()) for _ in made]
        made += await chats(gateway, 1)
        told.append(json.loads(await running.line()))
        assert (await running.interrupt())[0] == 130
    assert [one["id"] for one in told] == made
    assert [one["seq"] for one in told] == [1, 2, 3]


async def test_what_ends_is_followed_until_ctrl_c(fleet: FakeFleet, start: Serve, tmp_path: Path) -> None:
    gateway = await gateway_over(fleet, start)
    made = await chats(gateway, 3)
    async with program(tmp_path, "logs", "-f", "-n", "1", "--url", url(gateway)) as running:
        assert await ids(running, 1) == made[2:]
        made = await chats(gateway, 2)
        assert await ids(running, 2) == made
        assert await running.interrupt() == (130, "", "")


async def test_more_than_an_event_holds_comes_whole_and_in_order(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start)
    await chats(gateway, 1)
    async with program(tmp_path, "logs", "-f", "-n", "1", "--url", url(gateway)) as running:
        await ids(running, 1)
        await asyncio.gather(*(gateway.chat() for _ in range(250)))
        await gateway.outcome(251)
        assert await ids(running, 250) == [outcome.request_id for outcome in gateway.outcomes[1:251]]


async def test_a_filter_holds_while_following(fleet: FakeFleet, start: Serve, tmp_path: Path) -> None:
    gateway = await gateway_over(fleet, start)
    async with program(tmp_path, "logs", "-f", "--failed", "--url", url(gateway)) as running:
        await gateway.until(lambda: _looked_at(gateway))
        expected = []
        for _ in range(2):
            await chats(gateway, 2)
            expected += await chats(gateway, 1, "nope")
            assert (await ids(running, 1)) == expected[-1:]


async def test_a_lost_connection_loses_and_doubles_no_line(
    fleet: FakeFleet, start: Serve, door: Door, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start)
    door.target = gateway.nexus.port
    made = await chats(gateway, 1)
    async with program(tmp_path, "logs", "-f", "--url", door.url) as running:
        assert await ids(running, 1) == made
        door.cut(None)
        assert "Trying again." in await running.complaint()
        made = await chats(gateway, 3)
        door.target = gateway.nexus.port
        assert await ids(running, 3) == made
        assert await running.complaint() == "Connected again.\n"
        made = await chats(gateway, 1)
        assert await ids(running, 1) == made
        assert await running.interrupt() == (130, "", "")


async def test_what_was_forgotten_meanwhile_is_counted(
    fleet: FakeFleet, start: Serve, door: Door, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start, "\n[history]\nrequests = 2\n")
    door.target = gateway.nexus.port
    made = await chats(gateway, 1)
    async with program(tmp_path, "logs", "-f", "--url", door.url) as running:
        assert await ids(running, 1) == made
        door.cut(None)
        await running.complaint()
        made = await chats(gateway, 5)
        door.target = gateway.nexus.port
        assert await ids(running, 2) == made[3:]
        assert await running.complaint() == "Skipped: 3 earlier requests are not kept any more.\n"


async def test_where_nothing_is_kept_what_ended_is_counted(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start, "\n[history]\nrequests = 0\n")
    async with program(tmp_path, "logs", "-f", "--url", url(gateway)) as running:
        complaint = asyncio.ensure_future(running.complaint())
        # What ended before it looked is no news: there must be some after that.
        while not complaint.done():
            await chats(gateway, 1)
            await asyncio.wait({complaint}, timeout=0.5)
        assert complaint.result().startswith("Skipped: ")


async def test_the_configured_server_is_followed_over_tls(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    tls = f'[server]\ntls_cert = "{pem}"\ntls_key = "{key}"\n'
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start(tls + backend_toml(backend))
    home = tmp_path / "home"
    home.mkdir()
    (home / "nexus.toml").write_text(f"{tls}port = {gateway.nexus.port}\n")
    async with program(home, "logs", "-f") as running:
        await gateway.until(lambda: _looked_at(gateway))
        asked = Request(f"https://127.0.0.1:{gateway.nexus.port}/v1/chat/completions", b"{}")
        with pytest.raises(HTTPError) as refused:
            await asyncio.to_thread(urlopen, asked, context=trusting)
        refused.value.close()
        assert " 400 " in await running.line()
        assert await running.interrupt() == (130, "", "")


async def test_a_new_run_of_nexus_begins_at_its_first_request(
    fleet: FakeFleet, start: Serve, door: Door, tmp_path: Path
) -> None:
    first = await gateway_over(fleet, start)
    second = await start(backend_toml(fleet.backends[0]))
    door.target = first.nexus.port
    made = await chats(first, 2)
    async with program(tmp_path, "logs", "-f", "--url", door.url) as running:
        assert await ids(running, 2) == made
        made = await chats(second, 3)
        door.cut(second.nexus.port)
        assert await ids(running, 3) == made


async def test_who_never_got_in_is_told_and_does_not_wait(start: Serve, tmp_path: Path) -> None:
    gateway = await start('[admin]\ntoken_env = "ADMIN"\n', ADMIN="sesame-sesame-sesame")
    for arguments, said in (
        (("--url", url(gateway)), "wants the administration's token"),
        (("--url", "http://127.0.0.1:9"), "Nothing answers"),
    ):
        async with program(tmp_path, "logs", "-f", *arguments) as running:
            code, out, err = await running.rest()
        assert (code, out) == (1, "")
        assert said in err
        assert "Traceback" not in err


async def test_a_reader_that_leaves_is_no_traceback(fleet: FakeFleet, start: Serve, tmp_path: Path) -> None:
    gateway = await gateway_over(fleet, start)
    await chats(gateway, 30)
    for more in ("", "--json"):
        process = await asyncio.create_subprocess_shell(
            f"{sys.executable} -m nexus logs -n 1000 {more} --url {url(gateway)} | head -n 1",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path,
        )  # fmt: skip
        out, err = await process.communicate()
        assert len(out.splitlines()) == 1
        assert err == b""


async def test_a_terminal_has_colours_unless_they_are_not_wanted(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start)
    await chats(gateway, 1)
    await chats(gateway, 1, "nope")
    wishes: tuple[tuple[dict[str, str], bool], ...] = (
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    )
    for wish, coloured in wishes:
        async with on_a_terminal(tmp_path, "logs", "--url", url(gateway), environment=wish) as screen:
            assert await screen.end() == 0
            await screen.until("model_not_found")
            assert ("\x1b[32m200" in screen.raw, "\x1b[1;31m404" in screen.raw) == (coloured, coloured)


async def test_names_from_elsewhere_cannot_move_the_cursor(
    fleet: FakeFleet, start: Serve, tmp_path: Path
) -> None:
    gateway = await gateway_over(fleet, start)
    await chats(gateway, 1, HOSTILE)
    async with program(tmp_path, "logs", "--url", url(gateway)) as running:
        _, out, _ = await running.rest()
    assert "evil" in out
    assert not [c for c in out if not c.isprintable() and c != "\n"]


async def test_a_client_that_left_is_seen(fleet: FakeFleet, start: Serve, tmp_path: Path) -> None:
    gateway = await gateway_over(fleet, start)
    backend = fleet.backends[0]
    backend.next(testing.Stall(stage=testing.Stage.BODY, at_event=2))
    async with gateway.client() as client:
        client.send(
            "POST",
            "/v1/chat/completions",
            {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]},
        )
        await client.read_reply(until=1)
    await gateway.outcome(1)
    async with program(tmp_path, "logs", "--url", url(gateway)) as running:
        _, out, _ = await running.rest()
    assert "client left" in out


def _looked_at(gateway: RunningGateway) -> bool:
    app = gateway.nexus.administration.app
    return app is not None and app.live.pages > 0
