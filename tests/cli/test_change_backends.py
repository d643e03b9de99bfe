"""``nexus backends`` against a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result
from tests.cli.support import Command, Stub
from tests.support.gateway import RunningGateway, Serve, backend_toml

from nexus.cli.administration import find
from nexus.cli.lazy import Refused
from nexus.testing import FakeFleet, FakeModel


class Asked:
    """``nexus backends ARGS --url <the gateway's>``, while the gateway runs on this loop."""

    def __init__(self, nexus: Command, gateway: RunningGateway) -> None:
        self._nexus = nexus
        self._url = f"http://127.0.0.1:{gateway.nexus.port}"

    async def __call__(self, *arguments: str) -> Result:
        return await asyncio.to_thread(self._nexus, "backends", *arguments, "--url", self._url)


async def test_a_server_from_its_adding_to_its_removal(
    nexus: Command, fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    gateway = await start("")
    ask = Asked(nexus, gateway)
    result = await ask("add", backend.url, "--name", "Küche", "--priority", "5", "--slots", "2")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Added Küche (vllm): m.\n", "")
    result = await ask("list", "--json")
    (view,) = json.loads(result.stdout)
    assert (view["name"], view["priority"], view["slots"], view["source"]) == ("Küche", 5, 2, "manual")
    listed = (await ask("list")).stdout
    assert "Küche" in listed
    assert "manual: /admin/backends" in listed
    assert (await ask("check", "Kü")).stdout == "Küche (vllm) is healthy: m.\n"
    assert (await ask("drain", "Küche")).stdout == "Küche takes no new requests: none is running.\n"
    assert "draining" in (await ask("list")).stdout
    assert (await gateway.chat()).status == 503
    assert (await ask("enable", "Küche")).stdout == "Küche takes requests: healthy.\n"
    assert (await gateway.chat()).status == 200
    assert (await ask("remove", "Küche")).stdout == "Removed Küche.\n"
    assert gateway.nexus.registry.views() == ()


@pytest.mark.parametrize("command", ["add", "check", "drain", "enable", "remove"])
async def test_every_command_speaks_json(
    nexus: Command, fleet: FakeFleet, start: Serve, command: str
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")])
    ask = Asked(nexus, await start(""))
    if command == "add":
        result = await ask("add", backend.url, "--json")
    else:
        await ask("add", backend.url, "--name", "a")
        result = await ask(command, "a", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["url"] == f"{backend.url}/v1"


async def test_a_server_that_is_off_is_added_with_a_word(nexus: Command, start: Serve) -> None:
    ask = Asked(nexus, await start(""))
    result = await ask("add", "127.0.0.1:9", "--type", "vllm")
    assert result.exit_code == 0
    assert "cannot serve yet: unhealthy" in result.stderr
    result = await ask("check", "127")
    assert result.exit_code == 1
    assert "unhealthy" in result.stdout
    assert "Traceback" not in result.output


async def test_what_the_server_refuses_is_said_once(nexus: Command, fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    ask = Asked(nexus, await start(backend_toml(backend)))
    result = await ask("add", backend.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "answered 409: 'box' is at this address already" in result.stderr
    result = await ask("remove", "box")
    assert result.exit_code == 1
    assert "remove it there" in result.stderr
    assert (await ask("add", "ftp://x")).exit_code == 1
    assert (await ask("add", "http://169.254.169.254")).exit_code == 1


async def test_a_change_that_does_not_last_says_so(nexus: Command, fleet: FakeFleet, start: Serve) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    ask = Asked(nexus, await start(backend_toml(backend)))
    result = await ask("drain", "box")
    assert result.exit_code == 0
    assert "until Nexus ends or the backend" in result.stderr


async def test_the_token_is_shown_from_the_environment(
    nexus: Command, start: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Asked(nexus, await start('[admin]\ntoken_env = "SERVERS"\n', SERVERS="the-token"))
    result = await ask("list")
    assert result.exit_code == 1
    assert "NEXUS_ADMIN_TOKEN" in result.stderr
    monkeypatch.setenv("NEXUS_ADMIN_TOKEN", "the-token")
    assert (await ask("list")).exit_code == 0
    monkeypatch.setenv("OTHER", "wrong")
    assert (await ask("list", "--admin-token-env", "OTHER")).exit_code == 1
    result = await ask("list", "--admin-token-env", "UNSET")
    assert result.exit_code == 2
    assert "UNSET is not set" in result.stderr


async def test_the_configured_token_is_found(
    nexus: Command, start: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toml = '[admin]\ntoken_env = "SERVERS"\n'
    gateway = await start(toml, SERVERS="the-token")
    monkeypatch.setenv("SERVERS", "the-token")
    (tmp_path / "nexus.toml").write_text(f"[server]\nport = {gateway.nexus.port}\n{toml}")
    result = await asyncio.to_thread(nexus, "backends", "list")
    assert (result.exit_code, result.stderr[:11]) == (0, "No backends")


async def test_without_the_administration_the_list_is_still_there(
    nexus: Command, fleet: FakeFleet, start: Serve
) -> None:
    backend = await fleet.add("vllm", models=[FakeModel("m")], name="box")
    ask = Asked(nexus, await start("[admin]\nenabled = false\n" + backend_toml(backend)))
    assert "box" in (await ask("list")).stdout
    result = await ask("drain", "box")
    assert result.exit_code == 1
    assert "404" in result.stderr


ITEMS = [
    {"id": "box", "name": "box"},
    {"id": "box-2", "name": "box-2"},
    {"id": "mdns:Kitchen", "name": "kitchen"},
    {"id": "mdns:Cellar", "name": "cellar"},
    {"id": "evil", "name": "\x1b[2Jevil"},
]


@pytest.mark.parametrize(
    ("reference", "found"),
    [("box", "box"), ("box-", "box-2"), ("kit", "mdns:Kitchen"), ("mdns:C", "mdns:Cellar"), ("ev", "evil")],
)
def test_names_ids_and_unique_beginnings_are_understood(reference: str, found: str) -> None:
    assert find([dict(item) for item in ITEMS], reference) == found


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("bo", ("box, box-2",)),
        ("mdns:", ("kitchen (mdns:Kitchen)", "cellar")),
        ("nobody", ("No backend is called", "box")),
        ("", ("No backend is called",)),
    ],
)
def test_what_stands_for_none_or_several_lists_the_candidates(reference: str, words: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        find([dict(item) for item in ITEMS], reference)
    assert all(word in refused.value.message for word in words)
    assert "\x1b" not in refused.value.message
    assert refused.value.exit_code == 2


def test_no_backends_at_all() -> None:
    with pytest.raises(Refused, match="there are none"):
        find([], "a")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": 1}', b'{"data": ["a"]}', b"<html>"])
def test_what_is_not_nexus_is_told(nexus: Command, stub: Stub, body: bytes) -> None:
    stub.answer("/admin/backends", body)
    result = nexus("backends", "drain", "a", "--url", stub.url)
    assert result.exit_code == 1
    assert "is not Nexus" in result.stderr


def test_flags_that_cannot_be_are_refused_before_anything_is_asked(nexus: Command) -> None:
    for flags in (("--priority", "101"), ("--type", "olama"), ("--slots", "0")):
        assert nexus("backends", "add", "http://x", *flags).exit_code == 2
    assert nexus("backends", "drain").exit_code == 2
